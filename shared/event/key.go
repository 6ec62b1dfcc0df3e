package event

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Stream is what has numbered events of its own.
type Stream string

// The streams: a chat room's, a user's personal one, and the canary's.
const (
	RoomStream   Stream = "room"
	UserStream   Stream = "user"
	CanaryStream Stream = "canary"
)

// CanaryKey is the key of the stream by which the function hears itself. It is no room's,
// whose "@" would be doubled, and no user's, since it is no uuid.
const CanaryKey = "@canary"

// ErrKey is returned for a text that is no stream's key.
var ErrKey = errors.New("not the key of a room or a user")

// RoomKey is the key under which the outbox keeps a room: its id, whose first byte is
// doubled where that is "@", so that no room id can be taken for a user's key.
// roomcast.room_key is the same in SQL.
func RoomKey(id string) string {
	if strings.HasPrefix(id, "@") {
		return "@" + id
	}
	return id
}

// UserKey is the key under which the outbox keeps a user's personal stream: "@" and the
// uuid in lower case. Any other text is [ErrKey]. roomcast.user_key is the same in SQL.
func UserKey(userID string) (string, error) {
	id := strings.ToLower(userID)
	if !IsUUID(id) {
		return "", fmt.Errorf("%w: a user's id must be a uuid", ErrKey)
	}
	return "@" + id, nil
}

// ParseKey is the inverse of [RoomKey] and [UserKey], and knows [CanaryKey]: it says whose
// key this is, and returns the id of the room or user. What neither of them writes is [ErrKey].
func ParseKey(key string) (Stream, string, error) {
	rest, at := strings.CutPrefix(key, "@")
	switch {
	case key == "":
		return "", "", ErrKey
	case !at:
		return RoomStream, key, nil
	case strings.HasPrefix(rest, "@"):
		return RoomStream, rest, nil
	case IsUUID(rest):
		return UserStream, rest, nil
	case key == CanaryKey:
		return CanaryStream, rest, nil
	}
	return "", "", ErrKey
}

// IsText reports whether a text in Postgres can hold s. A channel's name and a URL can
// spell ids that none can, and asking the database about them would be an error, which
// must not look like a database that is away.
func IsText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// IsUUID reports whether s is a uuid as Postgres writes it: lower case, with hyphens. Ids
// compare as text everywhere: rows, presence members, disconnected users.
func IsUUID(s string) bool {
	if len(s) != len("00000000-0000-0000-0000-000000000000") {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
