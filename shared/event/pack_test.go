package event_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"roomcast/shared/event"
)

// What was packed is unpacked to the byte, in order, and has the size that was told.
func TestPack(t *testing.T) {
	events := []event.Event{
		{Name: event.NewMessage, Data: []byte(`{"id": 9007199254740994, "content": "a \"quoted\" ],[ text 👋🏽 \u2028"}`)},
		{Name: event.MessageDeleted, Data: []byte(`{"id":1}`)},
		{Name: event.UserLeft, Data: []byte(`{}`)},
		{Name: "a \"name\" \\ é\n", Data: []byte(`{}`)}, // what roomcast.send may say
	}
	var pack []byte
	size := 0
	for n, e := range events {
		size = event.PackSize(size, e.Name, e.Data)
		pack = event.AppendPack(pack, e.Name, e.Data)
		if len(pack) != size || !json.Valid(pack) {
			t.Fatalf("%d events: %d bytes, want %d: %s", n+1, len(pack), size, pack)
		}
		got, err := event.Unpack(pack)
		if err != nil || len(got) != n+1 {
			t.Fatalf("unpacked %d of %d events: %v", len(got), n+1, err)
		}
		for i := range got {
			if got[i].Name != events[i].Name || string(got[i].Data) != string(events[i].Data) {
				t.Errorf("%s %s came out as %s %s", events[i].Name, events[i].Data, got[i].Name, got[i].Data)
			}
		}
	}
	if want := `[["new-message",` + string(events[0].Data) + `],["message-deleted",{"id":1}],["user-left",{}],["a \"name\" \\ é\n",{}]]`; string(pack) != want {
		t.Errorf("the pack is\n%s, want\n%s", pack, want)
	}
}

func TestUnpackRefuses(t *testing.T) {
	for _, data := range []string{``, `{}`, `[{}]`, `[["new-message"]]`, `[["new-message",{},{}]]`, `[[1,{}]]`, `[["new-message",{}]`} {
		if events, err := event.Unpack([]byte(data)); !errors.Is(err, event.ErrPack) {
			t.Errorf("%q is read as %v, %v", data, events, err)
		}
	}
}

// Where no other channel is the members' own, events go by presence.
func TestPresenceAloneCarries(t *testing.T) {
	type kinds = []event.ChannelKind
	for _, all := range []kinds{{event.Presence}, {event.Presence, event.Public}} {
		if got := event.NewChannels(all, nil).Carriers("any"); !slices.Equal(got, all) {
			t.Errorf("%v: published to %v", all, got)
		}
	}
	if c := event.NewChannels(kinds{event.Presence, event.Packed}, []string{"hot"}); !slices.Equal(c.Carriers("hot"), kinds{event.Packed}) || !slices.Equal(c.Carriers("other"), kinds{event.Presence}) {
		t.Errorf("published to %v and %v", c.Carriers("hot"), c.Carriers("other"))
	}
}

// Which rooms have which channels: none is left without.
func TestChannels(t *testing.T) {
	type kinds = []event.ChannelKind
	for _, tc := range []struct {
		name          string
		kinds         kinds
		rooms         []string
		hot, other    kinds
		inUse, notUse event.ChannelKind
	}{
		{"no packing", kinds{event.Private, event.Presence}, nil, kinds{event.Private, event.Presence}, kinds{event.Private, event.Presence}, event.Presence, event.Packed},
		{"rooms without the kind", kinds{event.Private}, []string{"hot"}, kinds{event.Private}, kinds{event.Private}, event.Private, event.Packed},
		{"every room", kinds{event.Private, event.Packed}, nil, kinds{event.Private, event.Packed}, kinds{event.Private, event.Packed}, event.Packed, event.Public},
		{"every room, alone", kinds{event.Packed}, nil, kinds{event.Packed}, kinds{event.Packed}, event.Packed, event.Private},
		{"beside private", kinds{event.Packed, event.Private}, []string{"hot"}, kinds{event.Packed, event.Private}, kinds{event.Private}, event.Private, event.Encrypted},
		{"in place of private", kinds{event.Packed}, []string{"hot", "warm"}, kinds{event.Packed}, kinds{event.Private}, event.Private, event.Encrypted},
		{"nothing in clear beside encrypted", kinds{event.Encrypted, event.Packed}, []string{"hot"}, kinds{event.Encrypted, event.Packed}, kinds{event.Encrypted}, event.Packed, event.Private},
	} {
		c := event.NewChannels(tc.kinds, tc.rooms)
		if hot, other := c.Of("hot"), c.Of("other"); !slices.Equal(hot, tc.hot) || !slices.Equal(other, tc.other) {
			t.Errorf("%s: the hot room has %v, the others %v; want %v and %v", tc.name, hot, other, tc.hot, tc.other)
		}
		for _, key := range []string{"hot", "other"} { // presence carries nothing beside another of the members'
			want := slices.DeleteFunc(slices.Clone(c.Of(key)), func(k event.ChannelKind) bool { return k == event.Presence })
			if got := c.Carriers(key); !slices.Equal(got, want) {
				t.Errorf("%s: %s is published to %v, want %v", tc.name, key, got, want)
			}
		}
		if !c.InUse(tc.inUse) || c.InUse(tc.notUse) {
			t.Errorf("%s: in use are %s %v, %s %v", tc.name, tc.inUse, c.InUse(tc.inUse), tc.notUse, c.InUse(tc.notUse))
		}
	}
}
