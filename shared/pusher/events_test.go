package pusher_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
)

// A room has those kinds of channel that can carry its id; the longer prefix of one takes
// nothing from the others (roomcast.fits_channel lets through what private-room- carries).
func TestARoomWhoseNameIsTooLongForSomeKinds(t *testing.T) {
	kinds := []event.ChannelKind{event.Private, event.Presence, event.Encrypted, event.Packed}
	for length, want := range map[int][]string{
		141: {"private-room-", "presence-room-", "private-encrypted-room-", "private-packed-room-"},
		144: {"private-room-", "presence-room-", "private-packed-room-"},
		150: {"private-room-", "presence-room-"},
		151: {"private-room-"},
		152: nil,
	} {
		room := strings.Repeat("a", length)
		events, err := pusher.ForChannels(event.Event{Room: room, Name: "new-message"}, kinds)
		var got []string
		for _, e := range events {
			got = append(got, strings.TrimSuffix(e.Channel, room))
		}
		if !slices.Equal(got, want) || errors.Is(err, event.ErrRoom) != (want == nil) {
			t.Errorf("%d characters: %v, %v; want %v", length, got, err, want)
		}
	}
}
