package event_test

import (
	"testing"

	"roomcast/shared/event"
)

// The canary has a key and a channel that no room and no user has, and nobody who asks is
// let into it.
func TestCanaryIsNobodysStream(t *testing.T) {
	if stream, id, err := event.ParseKey(event.CanaryKey); stream != event.CanaryStream || id != "canary" || err != nil {
		t.Errorf("%q %q %v", stream, id, err)
	}
	name, err := event.ChannelName(event.Canary, event.CanaryKey)
	if name != "private-roomcast-canary" || err != nil {
		t.Errorf("channel %q, %v", name, err)
	}
	if kind, key, err := event.ParseChannel(name); err == nil {
		t.Errorf("%s could be authorized: %s %s", name, kind, key)
	}
	for _, kind := range []event.ChannelKind{event.Private, event.Presence, event.Encrypted, event.Public, event.Packed, event.Personal} {
		if name, err := event.ChannelName(kind, event.CanaryKey); err == nil {
			t.Errorf("kind %s: %s", kind, name)
		}
	}
	for _, id := range []string{"@canary", "canary", "@@canary"} {
		if event.RoomKey(id) == event.CanaryKey {
			t.Errorf("room %q has the canary's key", id)
		}
		if name, err := event.ChannelName(event.Canary, event.RoomKey(id)); err == nil {
			t.Errorf("room %q: %s", id, name)
		}
	}
	if _, err := event.ParseChannelKind("canary"); err == nil {
		t.Error("it can be chosen for rooms")
	}
	for _, channels := range []event.Channels{
		event.NewChannels([]event.ChannelKind{event.Private, event.Presence}, nil),
		event.NewChannels([]event.ChannelKind{event.Packed}, []string{"a"}),
	} {
		if kinds := channels.Carriers(event.CanaryKey); len(kinds) != 1 || kinds[0] != event.Canary {
			t.Errorf("it is published to %v", kinds)
		}
	}
}
