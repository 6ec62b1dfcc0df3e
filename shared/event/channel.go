package event

import (
	"errors"
	"fmt"
	"strings"
)

// ChannelKind says who may listen to a channel, and what Pusher does with it. The prefix of a channel's name decides this at Pusher: only names
// that start with private-, presence- or private-encrypted- are authorized
// (pusher.com/docs/channels/using_channels/channels).
type ChannelKind string

// The kinds of channel a room can be published to.
const (
	Private   ChannelKind = "private"   // members only
	Presence  ChannelKind = "presence"  // members only, who see each other
	Encrypted ChannelKind = "encrypted" // members only, opaque to Pusher
	Public    ChannelKind = "public"    // anybody; for old clients during the move
	Packed    ChannelKind = "packed"    // members only, who can read a [Pack]
)

// Personal is the kind of a user's own channel: that user only. It is no room's, and
// cannot be chosen.
const Personal ChannelKind = "user"

// Canary is the kind of the canary's channel: no user is ever authorized for it, since
// [ParseChannel] does not know it.
const Canary ChannelKind = "canary"

// MaxChannelName is the longest channel name Pusher takes, in bytes.
const MaxChannelName = 164

var (
	// ErrChannelKind is returned for a kind that is none of these.
	ErrChannelKind = errors.New("unknown channel kind")
	// ErrRoom is returned for a room id that no channel can carry: the empty
	// one, and one whose channel name would pass [MaxChannelName].
	ErrRoom = errors.New("room id does not fit a channel name")
	// ErrChannelName is returned for a name that [ChannelName] never writes.
	ErrChannelName = errors.New("not the channel of a room or a user")
)

const personalPrefix = "private-user-"

// prefix is what stands before the room in a channel name of this kind.
func (k ChannelKind) prefix() (string, bool) {
	switch k {
	case Private:
		return "private-room-", true
	case Presence:
		return "presence-room-", true
	case Encrypted:
		return "private-encrypted-room-", true
	case Public:
		return "room-", true
	case Packed:
		return "private-packed-room-", true
	case Personal:
		return personalPrefix, true
	case Canary:
		return "private-roomcast-", true
	}
	return "", false
}

// ParseChannelKind reads a kind as ROOM_CHANNELS spells it.
func ParseChannelKind(s string) (ChannelKind, error) {
	k := ChannelKind(s)
	if _, ok := k.prefix(); !ok || k == Personal || k == Canary {
		return "", fmt.Errorf("%w: %q (want private, presence, encrypted, public or packed)", ErrChannelKind, s)
	}
	return k, nil
}

// ChannelName writes the channel of a stream, given by its key ([RoomKey], [UserKey]). A
// user has the channel of kind [Personal] and a room those of the other kinds. Any text
// is a room id: bytes that Pusher's grammar does not allow, and the escape sign itself,
// are written =XX in upper-case hexadecimal, so uuids and slugs stay as they are. Two
// different streams never share a name.
//
// It returns [ErrRoom] for a stream that has no such channel and [ErrChannelKind] for an
// unknown kind.
func ChannelName(kind ChannelKind, key string) (string, error) {
	prefix, ok := kind.prefix()
	if !ok {
		return "", fmt.Errorf("%w: %q", ErrChannelKind, string(kind))
	}
	if key == "" {
		return "", fmt.Errorf("%w: it is empty", ErrRoom)
	}
	stream, id, err := ParseKey(key)
	if err != nil || (stream == UserStream) != (kind == Personal) || (stream == CanaryStream) != (kind == Canary) {
		return "", fmt.Errorf("%w: %w", ErrRoom, ErrKey)
	}
	name := prefix + escape(id)
	if len(name) > MaxChannelName {
		return "", fmt.Errorf("%w: the name would have %d bytes, Pusher takes %d", ErrRoom, len(name), MaxChannelName)
	}
	return name, nil
}

// ParseChannel is the inverse of [ChannelName]: it returns the kind and the stream's key.
// It accepts nothing else: a name with lower-case or needless escapes, foreign bytes or
// an unknown prefix is [ErrChannelName]. What it accepts is therefore safe to sign.
func ParseChannel(name string) (ChannelKind, string, error) {
	if len(name) > MaxChannelName {
		return "", "", fmt.Errorf("%w: %d bytes", ErrChannelName, len(name))
	}
	if user, ok := strings.CutPrefix(name, personalPrefix); ok {
		if !IsUUID(user) {
			return "", "", ErrChannelName
		}
		return Personal, "@" + user, nil
	}
	for _, kind := range []ChannelKind{Private, Presence, Encrypted, Public, Packed} {
		prefix, _ := kind.prefix()
		escaped, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		room, ok := unescape(escaped)
		if !ok || room == "" {
			break
		}
		return kind, RoomKey(room), nil
	}
	return "", "", ErrChannelName
}

const upperHex = "0123456789ABCDEF"

// plain reports whether a byte stands for itself: Pusher's alphabet without
// the equals sign, which introduces an escape.
func plain(b byte) bool {
	switch {
	case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		return true
	}
	switch b {
	case '_', '-', '@', ',', '.', ';':
		return true
	}
	return false
}

func escape(room string) string {
	first := 0 // byte that does not stand for itself
	for first < len(room) && plain(room[first]) {
		first++
	}
	if first == len(room) {
		return room
	}
	var out strings.Builder
	out.Grow(len(room) + 8)
	out.WriteString(room[:first])
	for i := first; i < len(room); i++ {
		if b := room[i]; plain(b) {
			out.WriteByte(b)
		} else {
			out.Write([]byte{'=', upperHex[b>>4], upperHex[b&15]})
		}
	}
	return out.String()
}

// unescape accepts only what escape writes, so that a room has one name.
func unescape(s string) (string, bool) {
	var out strings.Builder
	out.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if plain(s[i]) {
			out.WriteByte(s[i])
			continue
		}
		if s[i] != '=' || i+2 >= len(s) {
			return "", false
		}
		high, low := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		b := byte(high<<4 | low)
		if plain(b) {
			return "", false
		}
		out.WriteByte(b)
		i += 2
	}
	return out.String(), true
}
