package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"roomcast/shared/event"
)

// Limits bounds one claim.
type Limits struct {
	Rows    int           // at most this many rows in all
	PerRoom int           // at most this many of one room
	Lease   time.Duration // how long the rooms stay this relay's
}

// Room is a room under lease, with the next rows to be sent.
type Room struct {
	ID    string
	Fence int64 // names this lease in the ack
	Rows  []Row // in order of seq, the first follows what was acked before
}

// Row is one numbered change of a room.
type Row struct {
	Seq    int64
	Change event.Change
	Age    time.Duration // since it was written, by the database's clock
	// Missing: somebody deleted the row by hand. Its seq is to be passed over.
	Missing bool
}

const claimSQL = `select room, epoch, fence, seq, at, age, kind, op, keys, record
  from roomcast.claim($1, $2::int, $3::int, $4::interval)`

// Claim takes the rooms with waiting rows that no relay holds, leases them under
// the relay's name and returns their next rows. It is one round trip; when
// nothing waits it writes nothing. The lease runs from before the call: measure
// it from the moment the call was made.
func (db *DB) Claim(ctx context.Context, relay string, l Limits) ([]Room, error) {
	rows, err := db.pool.Query(ctx, claimSQL, relay, l.Rows, l.PerRoom, l.Lease)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	defer rows.Close()
	var r claimReader
	for rows.Next() {
		if err := r.add(rows.RawValues()); err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return r.rooms, nil
}

// claimReader builds rooms from rows of text. A claim can bring thousands of rows
// that repeat room, epoch, kind and keys, so those strings are made once per run
// of equal values.
type claimReader struct {
	rooms             []Room
	epoch, kind, keys string
	keyList           []string
}

func (r *claimReader) add(v [][]byte) error {
	fence, err := strconv.ParseInt(string(v[2]), 10, 64)
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	seq, err := strconv.ParseInt(string(v[3]), 10, 64)
	if err != nil {
		return fmt.Errorf("seq: %w", err)
	}
	if n := len(r.rooms); n == 0 || r.rooms[n-1].ID != string(v[0]) {
		r.rooms = append(r.rooms, Room{ID: string(v[0]), Fence: fence})
	}
	room := &r.rooms[len(r.rooms)-1]
	if v[7] == nil {
		room.Rows = append(room.Rows, Row{Seq: seq, Missing: true})
		return nil
	}
	reuse(&r.epoch, v[1])
	reuse(&r.kind, v[6])
	if r.keys != string(v[8]) {
		r.keys = string(v[8])
		r.keyList = parseArray(r.keys)
	}
	age, err := strconv.ParseFloat(string(v[5]), 64)
	if err != nil {
		return fmt.Errorf("age: %w", err)
	}
	room.Rows = append(room.Rows, Row{Seq: seq, Age: time.Duration(age * float64(time.Second)), Change: event.Change{
		Kind:     event.Kind(r.kind),
		Op:       event.Op(v[7]),
		Room:     room.ID,
		Record:   json.RawMessage(bytes.Clone(v[9])),
		Keys:     r.keyList,
		Position: &event.Position{Seq: seq, Epoch: r.epoch, At: string(v[4])},
	}})
	return nil
}

func reuse(s *string, b []byte) {
	if *s != string(b) {
		*s = string(b)
	}
}

// parseArray reads a one-dimensional text[] as Postgres writes it: {id,"room id"}.
func parseArray(s string) []string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	var out []string
	var item strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted && i+1 < len(s):
			i++
			item.WriteByte(s[i])
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			out = append(out, item.String())
			item.Reset()
		default:
			item.WriteByte(c)
		}
	}
	if s != "" {
		out = append(out, item.String())
	}
	return out
}

// Ack says how far a room was sent under a lease.
type Ack struct {
	Room  string
	Fence int64
	Seq   int64         // all up to here was accepted or parked; what was before may be repeated
	Wait  time.Duration // the room is not claimed again before this has passed
}

const ackSQL = `select * from roomcast.ack($1::text[], $2::bigint[], $3::bigint[], $4::float8[])`

// Ack moves rooms on and frees their leases, in one round trip. It returns the
// rooms that were refused because another relay has claimed them since: their
// rows will be, or were, sent again by that one.
func (db *DB) Ack(ctx context.Context, acks []Ack) (refused []string, err error) {
	rooms, fences := make([]string, len(acks)), make([]int64, len(acks))
	seqs, waits := make([]int64, len(acks)), make([]float64, len(acks))
	for i, a := range acks {
		rooms[i], fences[i], seqs[i], waits[i] = a.Room, a.Fence, a.Seq, a.Wait.Seconds()
	}
	rows, err := db.pool.Query(ctx, ackSQL, rooms, fences, seqs, waits)
	if err != nil {
		return nil, fmt.Errorf("ack: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		refused = append(refused, string(rows.RawValues()[0]))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ack: %w", err)
	}
	return refused, nil
}

// Park notes why an event will never be sent; the ack then passes over it. It
// reports false when the lease was lost.
func (db *DB) Park(ctx context.Context, room string, fence, seq int64, reason string) (bool, error) {
	return db.ask(ctx, "park", `select roomcast.park($1, $2::bigint, $3::bigint, $4)`, room, fence, seq, reason)
}
