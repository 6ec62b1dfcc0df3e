package pusher

import (
	"errors"

	"roomcast/shared/event"
)

// Events makes what is published of a change: one event for each kind of channel of its
// room or user, in the order of kinds. limit bounds
// the data in bytes, see [ChannelsDataLimit]; with 0 there is no limit. It is pure: a
// repeat is the same to the byte, whichever relay sends it. An error means that the change can
// never be sent.
func Events(c event.Change, kinds []event.ChannelKind, limit int) ([]Event, error) {
	e, err := event.Translate(c, limit)
	if err != nil {
		return nil, err
	}
	return ForChannels(e, kinds)
}

// ForChannels makes what is published of an event: the same for each kind of channel. A
// room whose name is too long for some kinds has the others; for all of them, it has none.
func ForChannels(e event.Event, kinds []event.ChannelKind) ([]Event, error) {
	events := make([]Event, 0, len(kinds))
	var misfit error
	for _, kind := range kinds {
		channel, err := event.ChannelName(kind, e.Room)
		if err != nil {
			misfit = errors.Join(misfit, err)
			continue
		}
		events = append(events, Event{Channel: channel, Name: e.Name, Data: e.Data})
	}
	if len(events) == 0 {
		return nil, misfit
	}
	return events, nil
}

// ChannelsDataLimit is the largest data in bytes that fits every one of these kinds of
// channel.
func ChannelsDataLimit(kinds []event.ChannelKind) int {
	limit := MaxData - 1
	for _, kind := range kinds {
		if name, err := event.ChannelName(kind, "-"); err == nil {
			limit = min(limit, DataLimit(name))
		}
	}
	return limit
}
