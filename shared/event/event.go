// Package event holds what every floor speaks about: a [Change] of a row in
// Postgres, the [Event] it becomes for browsers, and the grammar that names a
// room's channel. It knows no database, no network and no library.
package event

import "encoding/json"

// Kind is the kind of table a change comes from. Each kind has its own rule in
// [Translate].
type Kind string

// The kinds of table that can be attached.
const (
	Messages Kind = "messages" // chat messages: one row, one message
	Members  Kind = "members"  // membership: one row, one user in one room
	Online   Kind = "presence" // who is there just now, as Pusher says; no table is attached as it
)

// Op is what happened to the row, spelled as Postgres' TG_OP spells it.
type Op string

// The operations a row trigger reports.
const (
	Insert Op = "INSERT"
	Update Op = "UPDATE"
	Delete Op = "DELETE"
)

// The names of the events browsers bind to.
const (
	NewMessage     = "new-message"
	MessageUpdated = "message-updated"
	MessageDeleted = "message-deleted"
	UserJoined     = "user-joined"
	UserLeft       = "user-left"
	UserOnline     = "user-online"
	UserOffline    = "user-offline"
)

// Change is one committed change of a row, of one room.
type Change struct {
	Kind Kind
	Op   Op
	Room string

	// Record is the row's allowed columns as Postgres wrote them, as one JSON
	// object: the new row of an INSERT or UPDATE, the old one of a DELETE. It
	// is never decoded through float64.
	Record json.RawMessage

	// Keys names the columns that identify the row. Only these survive in an
	// event that must not carry text (a deletion) or cannot (a stub).
	Keys []string

	// Position in the room; nil in forward-only mode, which has none.
	Position *Position
}

// IsDeparture reports whether this is the end of a membership: the user of the record
// may no longer read the room.
func (c Change) IsDeparture() bool { return c.Kind == Members && c.Op == Delete }

// Position places an event in its room. It is fixed before the event is first
// sent and the same in every repeat.
type Position struct {
	Seq   int64  `json:"seq"`   // from 1, without gaps
	Epoch string `json:"epoch"` // changes when the numbering starts anew
	At    string `json:"at"`    // when the row was written, database clock, RFC 3339
}

// Event is what is published to a room's channels.
type Event struct {
	Name string
	Room string
	Data json.RawMessage // one JSON object: the record, plus "roomcast"
	Stub bool            // Data holds the keys only: the record was too large
}
