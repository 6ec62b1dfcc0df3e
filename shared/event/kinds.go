package event

import "slices"

// Channels says which kinds of channel a stream has, and which of them carry its events.
type Channels struct {
	kinds  kindsOf
	others kindsOf         // of the rooms that do not pack
	packed map[string]bool // the keys of the rooms that do; nil: every room has kinds
}

// kindsOf are the kinds of channel of a stream.
type kindsOf struct {
	all      []ChannelKind
	carriers []ChannelKind // those that its events are published to
}

// carry leaves events out of [Presence] where another channel that only members hear has
// them: who is in both would get each event twice, and Pusher counts both.
func carry(all []ChannelKind) kindsOf {
	if !slices.ContainsFunc(all, func(k ChannelKind) bool { return k != Presence && k != Public }) {
		return kindsOf{all, all}
	}
	return kindsOf{all, slices.DeleteFunc(slices.Clone(all), func(k ChannelKind) bool { return k == Presence })}
}

// NewChannels gives every room all of kinds, and every user [Personal]. If packedRooms
// has any room ids, only those rooms have [Packed]; the others have the remaining kinds,
// or [Private] if none remains, since a room without a channel would be heard by nobody.
func NewChannels(kinds []ChannelKind, packedRooms []string) Channels {
	c := Channels{kinds: carry(kinds)}
	if len(packedRooms) == 0 || !slices.Contains(kinds, Packed) {
		return c
	}
	others := slices.DeleteFunc(slices.Clone(kinds), func(k ChannelKind) bool { return k == Packed })
	if len(others) == 0 {
		others = []ChannelKind{Private}
	}
	c.others = carry(others)
	c.packed = make(map[string]bool, len(packedRooms))
	for _, room := range packedRooms {
		c.packed[RoomKey(room)] = true
	}
	return c
}

// personal are the kinds that every user has.
var personal = carry([]ChannelKind{Personal})

var canary = carry([]ChannelKind{Canary})

// Of returns the kinds of channel of the stream with this key, not to be changed: those
// that may be subscribed to.
func (c Channels) Of(key string) []ChannelKind { return c.of(key).all }

// Carriers returns those of them that the stream's events are published to.
func (c Channels) Carriers(key string) []ChannelKind { return c.of(key).carriers }

func (c Channels) of(key string) kindsOf {
	switch stream, _, _ := ParseKey(key); {
	case stream == UserStream:
		return personal
	case stream == CanaryStream:
		return canary
	case c.packed == nil || c.packed[key]:
		return c.kinds
	}
	return c.others
}

// InUse reports whether any stream has a channel of this kind.
func (c Channels) InUse(kind ChannelKind) bool {
	return kind == Personal || slices.Contains(c.kinds.all, kind) || slices.Contains(c.others.all, kind)
}
