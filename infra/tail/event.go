package tail

import (
	"encoding/json"
	"strings"
	"time"
)

// Event is one event of a room. Of what the room itself says, Name is "reset" with Reason,
// or "denied".
type Event struct {
	Name   string          `json:"name"`
	Data   json.RawMessage `json:"data"`
	Reason string          `json:"-"`
	Meta   Meta            `json:"-"`
}

// Meta is the reserved key of an event's data.
type Meta struct {
	Seq   int64     `json:"seq"`
	Epoch string    `json:"epoch"`
	At    time.Time `json:"at"` // trailing zeros of a second's fraction are written or not
	Stub  bool      `json:"stub"`
}

// read fills Meta; false for an event that is not Roomcast's, or has no number.
func (e *Event) read() bool {
	var data struct{ Roomcast Meta }
	if strings.HasPrefix(e.Name, "client-") || json.Unmarshal(e.Data, &data) != nil {
		return false
	}
	e.Meta = data.Roomcast
	return e.Meta.Seq > 0
}

// Query asks the history: for what follows After in Epoch, or with Where only where the
// room is.
type Query struct {
	After int64
	Epoch string
	Where bool
}

// Page is an answer of the history.
type Page struct {
	Room   string  `json:"room"`
	Epoch  string  `json:"epoch"`
	Head   int64   `json:"head"`
	Last   int64   `json:"last"`
	Events []Event `json:"events"`
	More   bool    `json:"more"`
	Reset  bool    `json:"reset"`
	Poll   float64 `json:"poll"` // seconds
}

// makesSense: it is this room's, and gets somewhere.
func (p Page) makesSense(room string, q Query) bool {
	if p.Room != room || p.Epoch == "" && p.Head > 0 {
		return false
	}
	return q.Where || p.Reset || p.Last >= q.After && (!p.More || p.Last > q.After)
}
