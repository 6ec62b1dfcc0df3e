package event_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"roomcast/shared/event"
)

// channelCases is testdata/channels.json, which the browser client is tested with too.
type channelCases struct {
	Names, Refused []struct {
		Kind    event.ChannelKind
		Room    string
		Channel string
	}
	Foreign []string
}

func readChannelCases(t testing.TB) (c channelCases) {
	t.Helper()
	b, err := os.ReadFile("../../testdata/channels.json")
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil || len(c.Names) == 0 || len(c.Refused) == 0 || len(c.Foreign) == 0 {
		t.Fatal("testdata/channels.json:", err)
	}
	return c
}

func TestChannelCases(t *testing.T) {
	cases := readChannelCases(t)
	for _, c := range cases.Names {
		if got, err := event.ChannelName(c.Kind, event.RoomKey(c.Room)); err != nil || got != c.Channel {
			t.Errorf("%s %q: %q, %v, want %q", c.Kind, c.Room, got, err, c.Channel)
		}
		if kind, room, err := event.ParseChannel(c.Channel); err != nil || kind != c.Kind || room != event.RoomKey(c.Room) {
			t.Errorf("%s: %s %q, %v", c.Channel, kind, room, err)
		}
	}
	for _, c := range cases.Refused {
		if got, err := event.ChannelName(c.Kind, event.RoomKey(c.Room)); !errors.Is(err, event.ErrRoom) && !errors.Is(err, event.ErrChannelKind) {
			t.Errorf("%s %q: %q, %v, want a refusal", c.Kind, c.Room, got, err)
		}
	}
	for _, name := range cases.Foreign {
		if kind, room, err := event.ParseChannel(name); !errors.Is(err, event.ErrChannelName) {
			t.Errorf("%q is taken for %s %q", name, kind, room)
		}
	}
}

// What ParseChannel accepts, ChannelName writes; what ChannelName writes fits Pusher.
func FuzzChannel(f *testing.F) {
	cases := readChannelCases(f)
	for _, c := range cases.Names {
		f.Add(c.Channel)
	}
	for _, name := range cases.Foreign {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if kind, room, err := event.ParseChannel(text); err == nil {
			if again, err := event.ChannelName(kind, room); err != nil || again != text {
				t.Errorf("%q is read as %q and written as %q, %v", text, room, again, err)
			}
		}
		name, err := event.ChannelName(event.Private, event.RoomKey(text))
		if err != nil {
			return
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=@,.;") != "" || len(name) > event.MaxChannelName {
			t.Errorf("%q becomes %q", text, name)
		}
		if _, room, err := event.ParseChannel(name); err != nil || room != event.RoomKey(text) {
			t.Errorf("%q comes back as %q, %v", text, room, err)
		}
	})
}
