package event_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"roomcast/shared/event"
)

// The cases are shared with the SQL functions and the client.
func TestKeyCases(t *testing.T) {
	var cases struct {
		Keys []struct {
			Stream  event.Stream
			ID, Key string
			Channel string
		}
		Refused struct{ Users, Keys []string }
	}
	b, err := os.ReadFile("../../testdata/keys.json")
	if err == nil {
		err = json.Unmarshal(b, &cases)
	}
	if err != nil || len(cases.Keys) == 0 || len(cases.Refused.Users) == 0 || len(cases.Refused.Keys) == 0 {
		t.Fatal("testdata/keys.json:", err)
	}
	for _, c := range cases.Keys {
		key, kind := event.RoomKey(c.ID), event.Private
		if c.Stream == event.UserStream {
			kind = event.Personal
			if key, err = event.UserKey(c.ID); err != nil {
				t.Error(err)
			}
		}
		if key != c.Key {
			t.Errorf("%s %q has the key %q, want %q", c.Stream, c.ID, key, c.Key)
		}
		if stream, id, err := event.ParseKey(c.Key); stream != c.Stream || id != c.ID || err != nil {
			t.Errorf("%q is read as %s %q, %v", c.Key, stream, id, err)
		}
		if name, err := event.ChannelName(kind, c.Key); name != c.Channel || err != nil {
			t.Errorf("%q has the channel %q, %v; want %q", c.Key, name, err, c.Channel)
		}
		if got, key, err := event.ParseChannel(c.Channel); got != kind || key != c.Key || err != nil {
			t.Errorf("%s is read as %s %q, %v", c.Channel, got, key, err)
		}
	}
	for _, user := range cases.Refused.Users {
		if key, err := event.UserKey(user); !errors.Is(err, event.ErrKey) {
			t.Errorf("user %q has the key %q", user, key)
		}
	}
	for _, key := range cases.Refused.Keys {
		if stream, id, err := event.ParseKey(key); !errors.Is(err, event.ErrKey) {
			t.Errorf("%q is read as %s %q", key, stream, id)
		}
	}
}

// No room id has a personal channel, and no user a room's.
func TestKeysDoNotMix(t *testing.T) {
	const user = "11111111-0000-4000-8000-000000000001"
	key, err := event.UserKey(user)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []event.ChannelKind{event.Private, event.Presence, event.Encrypted, event.Public, event.Packed} {
		if name, err := event.ChannelName(kind, key); err == nil {
			t.Errorf("a user's stream has the channel %s", name)
		}
	}
	for _, id := range []string{key, "@" + key, user} {
		if name, err := event.ChannelName(event.Personal, event.RoomKey(id)); err == nil {
			t.Errorf("room %q has the channel %s", id, name)
		}
	}
}
