package realtimetest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"roomcast/shared/event"
)

// The messages of pgoutput, version 1 (postgresql.org/docs/15/protocol-logicalrep-message-formats.html).
const (
	msgBegin    = 'B'
	msgRelation = 'R'
	msgInsert   = 'I'
	msgUpdate   = 'U'
	msgDelete   = 'D'

	tupleNew = 'N'
	tupleKey = 'K' // the replica identity's columns of the old row
	tupleOld = 'O' // the whole old row: replica identity full

	valueNull      = 'n'
	valueUnchanged = 'u' // a large value that was not touched, and is not sent
	valueText      = 't'
)

// postgresEpoch is where Postgres' timestamps begin, in µs.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var errMessage = errors.New("pgoutput message ends early")

// relation is a table as the stream has described it.
type relation struct {
	schema, name string
	columns      []Column
	identity     []string // the columns that an old row's key has
	keys         []string // the primary key's
}

// decoder reads one connection's stream.
type decoder struct {
	types     *pgtype.Map
	primary   func(table uint32) ([]string, error) // the primary key of a table, by OID
	relations map[uint32]relation
	committed time.Time // of the transaction that is being read
}

func newDecoder(primary func(uint32) ([]string, error)) *decoder {
	return &decoder{types: pgtype.NewMap(), primary: primary, relations: map[uint32]relation{}}
}

// read takes a message, and returns the change if it is one.
func (d *decoder) read(m []byte) (c Change, ok bool, err error) {
	b := &buffer{rest: m}
	switch kind := b.byte(); kind {
	case msgBegin:
		b.skip(8) // the transaction's last LSN
		d.committed = postgresEpoch.Add(time.Duration(b.uint64()) * time.Microsecond)
	case msgRelation:
		err = d.describe(b)
	case msgInsert, msgUpdate, msgDelete:
		c, ok = d.change(kind, b), true
	}
	if b.short {
		return Change{}, false, errMessage
	}
	return c, ok, err
}

func (d *decoder) describe(b *buffer) (err error) {
	id := b.uint32()
	r := relation{schema: b.string(), name: b.string()}
	b.skip(1) // the replica identity setting
	for range b.uint16() {
		key := b.byte() == 1
		c := Column{Name: b.string(), Type: "text"}
		if t, ok := d.types.TypeForOID(b.uint32()); ok {
			c.Type = t.Name
		}
		b.skip(4) // type modifier
		r.columns = append(r.columns, c)
		if key {
			r.identity = append(r.identity, c.Name)
		}
	}
	if r.keys, err = d.primary(id); err != nil {
		return err
	}
	d.relations[id] = r
	return nil
}

func (d *decoder) change(kind byte, b *buffer) Change {
	r := d.relations[b.uint32()]
	c := Change{Schema: r.schema, Table: r.name, Columns: r.columns, Keys: r.keys, Committed: d.committed,
		Type: map[byte]string{msgInsert: "INSERT", msgUpdate: "UPDATE", msgDelete: "DELETE"}[kind]}
	for !b.short && len(b.rest) > 0 {
		switch part := b.byte(); part {
		case tupleNew:
			c.Record = b.tuple(r.columns)
		case tupleKey:
			// The other columns of a key tuple are null, whatever they were.
			c.OldRecord, _ = event.Pick(b.tuple(r.columns), r.identity)
		case tupleOld:
			c.OldRecord = b.tuple(r.columns)
		default:
			b.short = true
		}
	}
	if kind == msgUpdate && c.OldRecord == nil { // its key did not change
		c.OldRecord, _ = event.Pick(c.Record, r.keys)
	}
	return c
}

// buffer reads a message from its front. Short means that it ended early.
type buffer struct {
	rest  []byte
	short bool
}

func (b *buffer) take(n int) []byte {
	if b.short || n < 0 || n > len(b.rest) {
		b.short = true
		return make([]byte, 8) // enough for the numbers below
	}
	out := b.rest[:n]
	b.rest = b.rest[n:]
	return out
}

func (b *buffer) skip(n int)     { b.take(n) }
func (b *buffer) byte() byte     { return b.take(1)[0] }
func (b *buffer) uint16() uint16 { return binary.BigEndian.Uint16(b.take(2)) }
func (b *buffer) uint32() uint32 { return binary.BigEndian.Uint32(b.take(4)) }
func (b *buffer) uint64() uint64 { return binary.BigEndian.Uint64(b.take(8)) }

func (b *buffer) string() string {
	text, rest, found := strings.Cut(string(b.rest), "\x00")
	if !found {
		b.short = true
		return ""
	}
	b.rest = b.rest[len(b.rest)-len(rest):]
	return text
}

// tuple writes a row as JSON, in the order of its columns.
func (b *buffer) tuple(columns []Column) json.RawMessage {
	out := []byte{'{'}
	for i := range b.uint16() {
		if int(i) >= len(columns) {
			b.short = true
			return nil
		}
		value := json.RawMessage("null")
		switch b.byte() {
		case valueNull:
		case valueUnchanged:
			continue
		case valueText:
			value = asJSON(columns[i].Type, string(b.take(int(b.uint32()))))
		default:
			b.short = true
			return nil
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		name, _ := json.Marshal(columns[i].Name) // a string always marshals
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}')
}

// asJSON writes a value as to_jsonb would, which is how Realtime's come.
func asJSON(kind, text string) json.RawMessage {
	switch kind {
	case "bool":
		if text == "t" {
			return json.RawMessage("true")
		}
		return json.RawMessage("false")
	case "int2", "int4", "int8", "float4", "float8", "numeric", "oid", "json", "jsonb":
		if json.Valid([]byte(text)) { // NaN is a string
			return json.RawMessage(text)
		}
	case "timestamptz": // 2026-11-22 20:27:53.1+00, in the session's UTC
		text = strings.Replace(strings.TrimSuffix(text, "+00"), " ", "T", 1) + "+00:00"
	case "timestamp":
		text = strings.Replace(text, " ", "T", 1)
	}
	out, _ := json.Marshal(text)
	return out
}
