package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrUnknown is returned for a room or an event the outbox has never heard of, or
// no longer keeps.
var ErrUnknown = errors.New("not in the outbox")

// RoomState is where a room stands.
type RoomState struct {
	Room       string
	Epoch      string
	Head, Sent int64
	Fence      int64
	Holder     string        // the relay that took the lease; empty for none
	Due        time.Duration // until it may be claimed; negative: since when it has been due
	Unnumbered int64         // rows of it that no claim has seen yet
	First      int64         // the first seq still kept; 0 if none is
	Accepted   time.Time     // when Pusher accepted Sent, or it was parked; zero: nothing was sent yet
}

const roomSQL = `
select r.room, r.epoch || (select t.incarnation from roomcast.settings t), r.head_seq, r.sent_seq, r.fence, coalesce(r.holder, ''),
       extract(epoch from r.due - clock_timestamp())::float8,
       (select count(*) from roomcast.unnumbered() u where u.room = r.room),
       coalesce((select min(g.first_seq) from roomcast.seq_ranges g where g.room = r.room), 0),
       coalesce(r.accepted, '0001-01-01 00:00:00Z')
  from roomcast.rooms r where r.room = $1`

// Room reads where a room stands, or returns [ErrUnknown].
func (o Operator) Room(ctx context.Context, room string) (RoomState, error) {
	var s RoomState
	var due float64
	err := o.QueryRow(ctx, roomSQL, room).
		Scan(&s.Room, &s.Epoch, &s.Head, &s.Sent, &s.Fence, &s.Holder, &due, &s.Unnumbered, &s.First, &s.Accepted)
	if errors.Is(err, pgx.ErrNoRows) {
		return RoomState{}, fmt.Errorf("room: %w", ErrUnknown)
	}
	if err != nil {
		return RoomState{}, fmt.Errorf("room: %w", err)
	}
	s.Due = seconds(due)
	return s, nil
}

// Life is what became of one change of a row.
type Life struct {
	OutboxID int64
	Room     string
	Seq      int64 // 0: not numbered yet
	Table    string
	Op       string
	Keys     string    // the columns that identify the row, as JSON
	Bytes    int       // of the record; its text is nobody's business here
	Written  time.Time // zero if somebody deleted the row by hand
	Numbered time.Time // zero if it is not
	Parked   string    // why it was given up; empty if it was not
	ParkedAt time.Time
	KeptFor  time.Duration // how long a numbered row is still kept, once it is sent
}

const lifeSQL = `
select coalesce(o.id, n.id), n.room, n.seq,
       coalesce(s.relation::text, ''), coalesce(o.op, ''),
       coalesce(roomcast.pick(o.record, s.keys), ''), coalesce(octet_length(o.record), 0),
       coalesce(o.at, '0001-01-01 00:00:00Z'), coalesce(g.at, '0001-01-01 00:00:00Z'),
       coalesce(p.reason, ''), coalesce(p.at, '0001-01-01 00:00:00Z'),
       coalesce(extract(epoch from g.at + t.retention - clock_timestamp()), 0)::float8
  from n cross join roomcast.settings t
  left join roomcast.outbox o on o.id = n.id
  left join roomcast.attached_tables s on s.id = o.attached
  left join roomcast.seq_ranges g on g.room = n.room and n.seq between g.first_seq and g.last_seq
  left join roomcast.parked p on p.room = n.room and p.seq = n.seq
 order by n.seq nulls last, n.id`

// Lives returns the lives of a room's events with a seq from first to last that
// are still kept, in order.
func (o Operator) Lives(ctx context.Context, room string, first, last int64) ([]Life, error) {
	return o.lives(ctx, `with n as (
	  select g.room, u.id, g.first_seq + u.i - 1 as seq
	    from roomcast.seq_ranges g cross join lateral unnest(g.ids) with ordinality as u (id, i)
	   where g.room = $1 and g.first_seq <= $3::bigint and g.last_seq >= $2::bigint
	     and g.first_seq + u.i - 1 between $2::bigint and $3::bigint)`+lifeSQL, room, first, last)
}

// LivesOf returns the lives of all changes still kept of the row with this primary
// key, in whatever attached table it is. A key of several columns is given as the
// JSON object of them.
func (o Operator) LivesOf(ctx context.Context, id string) ([]Life, error) {
	return o.lives(ctx, `with k as (
	  select s.id as attached, hashtextextended(key, s.id) as hash   -- as key_sql() makes it
	    from roomcast.attached_tables s
	   cross join lateral (values ($1::text), (roomcast.key_of(s.ids, $2::jsonb))) as candidates (key)
	   where key is not null
	), n as (
	  select o.room, o.id, roomcast.seq_of(o.room, o.id) as seq
	    from roomcast.outbox o join k on o.key_hash = k.hash and o.attached = k.attached)`+lifeSQL, id, object(id))
}

// object returns text that is a JSON object, or nil.
func object(text string) *string {
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "{") && json.Valid([]byte(trimmed)) {
		return &trimmed
	}
	return nil
}

func (o Operator) lives(ctx context.Context, sql string, args ...any) ([]Life, error) {
	rows, err := o.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("life: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Life, err error) {
		var seq *int64
		var kept float64
		err = row.Scan(&l.OutboxID, &l.Room, &seq, &l.Table, &l.Op, &l.Keys, &l.Bytes,
			&l.Written, &l.Numbered, &l.Parked, &l.ParkedAt, &kept)
		if seq != nil {
			l.Seq = *seq
		}
		l.KeptFor = seconds(kept)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("life: %w", err)
	}
	return list, nil
}

// Rows says of each attached table with a row of this primary key whether that row
// has a room: a row that exists but has left no trace was not captured.
func (o Operator) Rows(ctx context.Context, id string) (map[string]bool, error) {
	rows, err := o.Query(ctx, `select s.relation::text, s.room_column::text, s.keys[1]
	  from roomcast.attached_tables s join pg_class c on c.oid = s.relation where s.detached_at is null and s.room_column is not null`)
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	type source struct{ Table, Room, Key string }
	sources, err := pgx.CollectRows(rows, pgx.RowToStructByPos[source])
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	found := map[string]bool{}
	for _, s := range sources {
		// Table is written by Postgres' own regclass, quoted where it must be.
		sql := fmt.Sprintf(`select %s is not null from %s where %s::text = $1 limit 1`,
			pgx.Identifier{s.Room}.Sanitize(), s.Table, pgx.Identifier{s.Key}.Sanitize())
		var has bool
		switch err := o.QueryRow(ctx, sql, id).Scan(&has); {
		case err == nil:
			found[s.Table] = has
		case !errors.Is(err, pgx.ErrNoRows):
			return nil, fmt.Errorf("rows of %s: %w", s.Table, err)
		}
	}
	return found, nil
}
