package pusher

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"roomcast/shared/event"
)

// Pusher's limits, from its HTTP API reference and its documentation of channels.
const (
	MaxBatch = 10 // events in one call
	// MaxData bounds an event's data: it must be shorter than this, in bytes. Servers read
	// "10 kB" as 10,000 or as 10,240; what stays under both is safe. See DataLimit.
	MaxData           = 10_000
	MaxEventName      = 200 // bytes
	MaxUserID         = 128 // characters of a presence member's id
	MaxMemberInfo     = 1024
	maxSocketID       = 64 // bytes; Pusher's are about 20, the protocol names no bound
	encryptionKeySize = 32
)

// What makes an event or a request one that Pusher would refuse. Nothing was sent or signed.
var (
	ErrNoEvents        = errors.New("no events")
	ErrTooMany         = errors.New("too many events in a batch")
	ErrTooLarge        = errors.New("event data too large")
	ErrNotText         = errors.New("event data is not UTF-8")
	ErrEventName       = errors.New("event name empty, too long or reserved")
	ErrChannel         = errors.New("channel name not allowed")
	ErrSocketID        = errors.New("socket id malformed")
	ErrUser            = errors.New("user id or info not allowed")
	ErrNoEncryptionKey = errors.New("no encryption key for an encrypted channel")
)

// EventError says which event of a batch is refused by a limit, and why.
type EventError struct {
	Index int // in the slice given to PublishBatch
	Err   error
}

func (e *EventError) Error() string { return fmt.Sprintf("event %d: %v", e.Index, e.Err) }
func (e *EventError) Unwrap() error { return e.Err }

// The prefixes that make a channel need authorization.
const (
	prefixPrivate   = "private-"
	prefixEncrypted = "private-encrypted-"
	prefixPresence  = "presence-"
)

func isEncrypted(channel string) bool { return strings.HasPrefix(channel, prefixEncrypted) }

// CheckChannel reports whether name is a channel name: 1 to 164 bytes of A-Za-z0-9_-=@,.;
// Anything else is ErrChannel, whose text does not repeat the name.
func CheckChannel(name string) error {
	if !event.IsChannelName(name) {
		return ErrChannel
	}
	return nil
}

// CheckSocketID reports whether id has the form digits.digits; if not, ErrSocketID.
func CheckSocketID(id string) error {
	whole, frac, ok := strings.Cut(id, ".")
	if !ok || len(id) > maxSocketID || !isDigits(whole) || !isDigits(frac) {
		return ErrSocketID
	}
	return nil
}

// DataLimit is the largest len(Event.Data) that may be published to the channel. It is
// smaller for encrypted channels, where the sealed text counts, not the clear one.
func DataLimit(channel string) int {
	if !isEncrypted(channel) {
		return MaxData - 1
	}
	// pusher-http-go sends {"nonce":"<32>","ciphertext":"<base64 of 16 bytes more than the data>"}.
	const wrapping = len(`{"nonce":"","ciphertext":""}`) + 32
	const overhead = 16 // of a NaCl secretbox
	return (MaxData-1-wrapping)/4*3 - overhead
}

// checkEvent reports the first limit the event breaks.
func (c *Client) checkEvent(e *Event) error {
	if err := CheckChannel(e.Channel); err != nil {
		return err
	}
	if isEncrypted(e.Channel) && c.encryptionKey == nil {
		return ErrNoEncryptionKey
	}
	// "pusher:" and "pusher_internal:" are the protocol's own events; a server that let
	// them pass would let the caller speak in Pusher's name.
	if e.Name == "" || len(e.Name) > MaxEventName || !utf8.ValidString(e.Name) ||
		strings.HasPrefix(e.Name, "pusher:") || strings.HasPrefix(e.Name, "pusher_internal:") {
		return ErrEventName
	}
	if len(e.Data) > DataLimit(e.Channel) {
		return ErrTooLarge
	}
	// Data travels inside a JSON string, where anything else would silently become U+FFFD.
	if !utf8.Valid(e.Data) {
		return ErrNotText
	}
	return nil
}

func isDigits(s string) bool {
	for _, b := range []byte(s) {
		if b < '0' || b > '9' {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}
