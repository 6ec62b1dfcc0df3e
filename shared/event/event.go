// Package event owns the terms that all layers share: a [Change] of a row in Postgres, the
// [Event] that browsers get, and the grammar of keys and channel names. It imports the
// standard library only, and uses neither database nor network.
package event

import "encoding/json"

// Kind is the kind of table a change comes from.
type Kind string

// The kinds of table that can be attached.
const (
	Rows    Kind = "rows"     // any table: one row, one thing of the chat
	Members Kind = "members"  // membership: one row, one user in one room
	Online  Kind = "presence" // who is online, as Pusher says; no table is attached as it
)

// Op is what happened.
type Op string

// The operations. The first three are spelled as Postgres' TG_OP spells them.
const (
	Insert Op = "INSERT"
	Update Op = "UPDATE"
	Delete Op = "DELETE"
	Send   Op = "SEND" // roomcast.send: no row, but an event of the caller's own
	Bulk   Op = "BULK" // a statement that changed too many rows of the room to tell each
)

// Message is the name under which attach_messages attaches a table.
const Message = "message"

// The names of events that browsers bind to. A table attached under another name N has
// new-N, N-updated and N-deleted.
const (
	NewMessage     = "new-message"
	MessageUpdated = "message-updated"
	MessageDeleted = "message-deleted"
	UserJoined     = "user-joined"
	UserUpdated    = "user-updated"
	UserLeft       = "user-left"
	UserOnline     = "user-online"
	UserOffline    = "user-offline"
	BulkChange     = "bulk-change"
	Held           = "held"          // in place of any other, see Bare
	RoomActivity   = "room-activity" // in personal channels: a hint without a number
)

// Change is one committed change, of one room or user.
type Change struct {
	Kind Kind
	Name string // of the attachment: message, reaction …; of a Send, the event's own
	Op   Op
	Room string // the key of the room or user, see RoomKey and UserKey

	// Record is the row's allowed columns as Postgres wrote them, as one JSON
	// object: the new row of an INSERT or UPDATE, the old one of a DELETE. It
	// is never decoded through float64. Of a Send it is the payload, of a Bulk
	// {"name","op","count"}.
	Record json.RawMessage

	// Old holds the former values of the columns that the attachment names for it, as a
	// JSON object; nil if there are none.
	Old json.RawMessage

	// Keys names the columns that identify the row. Only these survive in an
	// event that must not carry text (a deletion) or cannot (a stub).
	Keys []string

	// Stub: Record holds the keys only, because the row was too large to keep or could
	// not be converted to JSON.
	Stub bool

	// Position in the room; nil in forward-only mode, which has none.
	Position *Position
}

// IsDeparture reports whether this ends memberships: of the record's user, who may no
// longer read the room, or of many at once that it does not name. What a user's personal
// stream says of it is not another.
func (c Change) IsDeparture() bool {
	stream, _, _ := ParseKey(c.Room)
	return c.Kind == Members && (c.Op == Delete || c.Op == Bulk) && stream != UserStream
}

// Position places an event in its room. It is fixed before the event is first
// sent and the same in every repeat.
type Position struct {
	Seq   int64  `json:"seq"`   // from 1, without gaps
	Epoch string `json:"epoch"` // changes when the numbering starts again
	At    string `json:"at"`    // when the row was written, database clock, RFC 3339
}

// Event is what is published to the channels of a room or user.
type Event struct {
	Name string
	Room string          // its key
	Data json.RawMessage // one JSON object: the record, plus "roomcast"
	Stub bool            // Data holds the keys at most: the record was too large
}
