package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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

const claimSQL = `select room, epoch, fence, clock, seq, at, kind, name, op, keys, record, old, stub
  from roomcast.claim($1, $2::int, $3::int, $4::interval, nullif($5, ''))`

// The columns of a claim.
const (
	colRoom = iota
	colEpoch
	colFence
	colClock
	colSeq
	colAt
	colKind
	colName
	colOp
	colKeys
	colRecord
	colOld
	colStub
)

// Claim takes the rooms with waiting rows that no relay holds, leases them under
// the relay's name (with @ and its place, see [DB.StartAwake]) and returns their next rows. It is one round trip; when
// nothing waits it writes nothing. The lease runs from before the call: measure
// it from the moment the call was made.
func (db *DB) Claim(ctx context.Context, relay string, l Limits) (rooms []Room, err error) {
	err = db.seeing(func() error {
		rows, err := db.Query(ctx, claimSQL, db.claimArgs(relay, l)...)
		if err == nil {
			rooms, err = readClaim(rows)
		}
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		return nil
	})
	return rooms, err
}

func (db *DB) claimArgs(relay string, l Limits) []any {
	return []any{relay, l.Rows, l.PerRoom, l.Lease, db.app}
}

func readClaim(rows pgx.Rows) ([]Room, error) {
	defer rows.Close()
	var r claimReader
	for rows.Next() {
		if err := r.add(rows.RawValues()); err != nil {
			return nil, err
		}
	}
	return r.rooms, rows.Err()
}

// claimReader builds rooms from rows of text. The first row of a room names it,
// and the rows behind it say only what is their own.
type claimReader struct {
	rooms       []Room
	epoch, kind string
	name        string
	clock       time.Time
	keys        string
	keyList     []string
}

func (r *claimReader) add(v [][]byte) error {
	if v[colRoom] != nil {
		if err := r.begin(v); err != nil {
			return err
		}
	}
	if len(r.rooms) == 0 {
		return errors.New("the first row names no room")
	}
	seq, err := strconv.ParseInt(string(v[colSeq]), 10, 64)
	if err != nil {
		return fmt.Errorf("seq: %w", err)
	}
	room := &r.rooms[len(r.rooms)-1]
	if v[colOp] == nil {
		room.Rows = append(room.Rows, Row{Seq: seq, Missing: true})
		return nil
	}
	at, err := time.Parse(timeLayout, string(v[colAt]))
	if err != nil {
		return fmt.Errorf("at: %w", err)
	}
	reuse(&r.kind, v[colKind])
	reuse(&r.name, v[colName])
	if v[colKeys] != nil && r.keys != string(v[colKeys]) {
		r.keys = string(v[colKeys])
		r.keyList = parseArray(r.keys)
	}
	row := Row{Seq: seq, Age: r.clock.Sub(at), Change: event.Change{
		Kind:     event.Kind(r.kind),
		Name:     r.name,
		Op:       opOf(v[colOp]),
		Room:     room.ID,
		Record:   json.RawMessage(bytes.Clone(v[colRecord])),
		Old:      json.RawMessage(bytes.Clone(v[colOld])),
		Stub:     string(v[colStub]) == "t",
		Position: &event.Position{Seq: seq, Epoch: r.epoch, At: rfc3339(v[colAt])},
	}}
	if v[colKeys] != nil {
		row.Change.Keys = r.keyList
	}
	room.Rows = append(room.Rows, row)
	return nil
}

// begin starts a room.
func (r *claimReader) begin(v [][]byte) (err error) {
	fence, err := strconv.ParseInt(string(v[colFence]), 10, 64)
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	if r.clock, err = time.Parse(timeLayout, string(v[colClock])); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	reuse(&r.epoch, v[colEpoch])
	room := Room{ID: string(v[colRoom]), Fence: fence}
	if n := len(r.rooms); n > 0 { // rooms share a claim evenly
		room.Rows = make([]Row, 0, len(r.rooms[n-1].Rows))
	}
	r.rooms = append(r.rooms, room)
	return nil
}

// timeLayout is how Postgres writes a timestamptz with DateStyle ISO and TimeZone
// UTC, which claim_due sets.
const timeLayout = "2006-01-02 15:04:05.999999-07"

// rfc3339 makes 2026-11-22T20:27:53.116450+00:00 of 2026-11-22 20:27:53.11645+00:
// always six digits, as history writes them, so that every repeat is the same.
func rfc3339(at []byte) string {
	const whole = len("2026-11-22 20:27:53")
	out := make([]byte, 0, len("2026-11-22T20:27:53.116450+00:00"))
	out = append(out, at[:whole]...)
	out[10] = 'T'
	fraction := strings.TrimSuffix(strings.TrimPrefix(string(at[whole:]), "."), "+00")
	out = append(out, '.')
	out = append(out, fraction...)
	out = append(out, "000000"[len(fraction):]...)
	return string(append(out, "+00:00"...))
}

// opOf saves making the same three strings thousands of times.
func opOf(b []byte) event.Op {
	for _, op := range []event.Op{event.Insert, event.Update, event.Delete} {
		if string(op) == string(b) {
			return op
		}
	}
	return event.Op(b)
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
	rows, err := db.Query(ctx, ackSQL, rooms, fences, seqs, waits)
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
	return db.Ask(ctx, "park", `select roomcast.park($1, $2::bigint, $3::bigint, $4)`, room, fence, seq, reason)
}
