package event

import "slices"

// Channels says which kinds of channel a stream has.
type Channels struct {
	kinds  []ChannelKind
	others []ChannelKind   // of the rooms that do not pack
	packed map[string]bool // the keys of the rooms that do; nil: every room has kinds
}

// NewChannels gives every room all of kinds, and every user [Personal]. If packedRooms
// has any room ids, only those rooms have [Packed]; the others have the remaining kinds,
// or [Private] if none remains, since a room without a channel would be heard by nobody.
func NewChannels(kinds []ChannelKind, packedRooms []string) Channels {
	c := Channels{kinds: kinds}
	if len(packedRooms) == 0 || !slices.Contains(kinds, Packed) {
		return c
	}
	c.others = slices.DeleteFunc(slices.Clone(kinds), func(k ChannelKind) bool { return k == Packed })
	if len(c.others) == 0 {
		c.others = []ChannelKind{Private}
	}
	c.packed = make(map[string]bool, len(packedRooms))
	for _, room := range packedRooms {
		c.packed[RoomKey(room)] = true
	}
	return c
}

// personal are the kinds that every user has.
var personal = []ChannelKind{Personal}

// Of returns the kinds of channel of the stream with this key, not to be changed.
func (c Channels) Of(key string) []ChannelKind {
	switch stream, _, _ := ParseKey(key); {
	case stream == UserStream:
		return personal
	case c.packed == nil || c.packed[key]:
		return c.kinds
	}
	return c.others
}

// InUse reports whether any stream has a channel of this kind.
func (c Channels) InUse(kind ChannelKind) bool {
	return kind == Personal || slices.Contains(c.kinds, kind) || slices.Contains(c.others, kind)
}
