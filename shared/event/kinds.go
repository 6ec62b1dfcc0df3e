package event

import "slices"

// Channels says which kinds of channel a room has.
type Channels struct {
	kinds  []ChannelKind
	others []ChannelKind   // of the rooms that do not pack
	packed map[string]bool // the rooms that do; nil: every room has kinds
}

// NewChannels gives every room all of kinds. Where packedRooms names any, only those
// have [Packed]; the others have the kinds that are left, and [Private] if none is,
// since a room without a channel would be a room that nobody hears.
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
		c.packed[room] = true
	}
	return c
}

// Of returns the kinds of channel that a room has, not to be changed.
func (c Channels) Of(room string) []ChannelKind {
	if c.packed == nil || c.packed[room] {
		return c.kinds
	}
	return c.others
}

// InUse reports whether any room has a channel of this kind.
func (c Channels) InUse(kind ChannelKind) bool {
	return slices.Contains(c.kinds, kind) || slices.Contains(c.others, kind)
}
