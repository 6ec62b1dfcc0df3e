package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
)

// ErrRefused is a wish of the operator's that the database would not grant; the
// error around it says why.
var ErrRefused = errors.New("refused")

// Operator is the access of the schema's owner: what the relay may do, and
// what only people may. No method returns a message's text but [Operator.SentAgain],
// which is there to send it.
type Operator struct{ *outbox.DB }

// OpenOperator reads a database URL and returns an Operator that connects when
// first used.
func OpenOperator(databaseURL string, opts ...outbox.Option) (Operator, error) {
	db, err := outbox.Open(databaseURL, 2, opts...)
	return Operator{db}, err
}

// Status is how the relay stands, at a glance.
type Status struct {
	Backlog
	Awake      time.Duration    // how much longer writers request no wake-up; 0 or less: asleep
	Holders    map[string]int64 // rooms under lease by relay
	Resting    int64            // rooms with rows waiting that are not to be tried yet
	NextTry    time.Duration    // until the first of them is
	PerMinute  int64            // rows numbered in the last minute, or written in it and not numbered yet
	Passed     int64            // rows accepted or parked, of all rooms, since each was first numbered
	Kept       time.Duration    // age of the oldest numbered row still kept
	Bytes      int64            // size of the outbox with its indexes
	Unroutable int64            // changes that had no room and were not relayed
	App        string           // the Pusher app that the outbox belongs to; empty: none has claimed yet
}

const statusSQL = `
select extract(epoch from roomcast.read_clock('roomcast.awake_until') - clock_timestamp())::float8,
       (select count(*) from roomcast.rooms r where r.head_seq > r.sent_seq and r.holder is null and r.due > clock_timestamp()),
       coalesce(extract(epoch from (select min(r.due) from roomcast.rooms r
         where r.head_seq > r.sent_seq and r.holder is null and r.due > clock_timestamp()) - clock_timestamp()), 0)::float8,
       (select coalesce(sum(last_seq - first_seq + 1), 0)::bigint from roomcast.seq_ranges where at > clock_timestamp() - interval '1 minute')
         + (select count(*) from roomcast.unnumbered() u where u.at > clock_timestamp() - interval '1 minute'),
       (select coalesce(sum(sent_seq), 0)::bigint from roomcast.rooms),
       coalesce(extract(epoch from clock_timestamp() - (select min(at) from roomcast.seq_ranges)), 0)::float8,
       pg_total_relation_size('roomcast.outbox'),
       (select coalesce(sum(count), 0) from roomcast.unroutable)::bigint,
       coalesce((select t.pusher_app from roomcast.settings t), ''),
       (select coalesce(jsonb_object_agg(holder, n), '{}') from (
          select holder, count(*) as n from roomcast.rooms
           where head_seq > sent_seq and holder is not null and due > clock_timestamp() group by holder) h)::text`

// Status reads how the relay stands.
func (o Operator) Status(ctx context.Context) (Status, error) {
	var s Status
	var err error
	if s.Backlog, err = o.Backlog(ctx); err != nil {
		return Status{}, err
	}
	var awake, next, kept float64
	var holders string
	err = o.QueryRow(ctx, statusSQL).
		Scan(&awake, &s.Resting, &next, &s.PerMinute, &s.Passed, &kept, &s.Bytes, &s.Unroutable, &s.App, &holders)
	if err == nil {
		err = json.Unmarshal([]byte(holders), &s.Holders)
	}
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	s.Awake, s.NextTry, s.Kept = seconds(awake), seconds(next), seconds(kept)
	return s, nil
}

// Skip parks the first event that waits in a room, and moves the room past it.
// seq must be that event's. It returns [ErrRefused] if it is not.
func (o Operator) Skip(ctx context.Context, room string, seq int64, reason string) error {
	return refused("skip", o.Exec(ctx, "skip", `select roomcast.skip($1, $2::bigint, $3)`, room, seq, reason))
}

// Parked is an event that was given up.
type Parked struct {
	Room   string
	Seq    int64
	Reason string
	At     time.Time
}

// ParkedEvents lists up to limit events that were given up, of one room or, with
// an empty room, of all.
func (o Operator) ParkedEvents(ctx context.Context, room string, limit int) ([]Parked, error) {
	rows, err := o.Query(ctx, `select room, seq, reason, at from roomcast.parked
	  where $1 = '' or room = $1 order by room, seq limit $2::int`, room, limit)
	if err != nil {
		return nil, fmt.Errorf("parked: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Parked])
	if err != nil {
		return nil, fmt.Errorf("parked: %w", err)
	}
	return list, nil
}

// Unpark forgets that events were given up: Pusher has taken them after all.
func (o Operator) Unpark(ctx context.Context, room string, seqs []int64) error {
	return o.Exec(ctx, "unpark", `delete from roomcast.parked where room = $1 and seq = any ($2::bigint[])`, room, seqs)
}

// Sent is an event that the relay has passed, accepted or parked.
type Sent struct {
	Seq    int64
	Change event.Change // as the row is today: a deleted message is a deletion
	Parked string       // why it was given up; empty if it was not
}

// SentAgain returns a room's events from first to last that the relay has passed
// and the database still keeps, to be sent once more under the same seq. What
// waits is not among them, so that nothing overtakes what stands before it.
func (o Operator) SentAgain(ctx context.Context, room string, first, last int64) ([]Sent, error) {
	rows, err := o.Query(ctx, `select seq, epoch, at, kind, name, op, keys, record, coalesce(old, ''), stub, coalesce(parked, '')
	  from roomcast.sent_again($1, $2::bigint, $3::bigint)`, room, first, last)
	if err != nil {
		return nil, fmt.Errorf("sent again: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Sent, error) {
		s := Sent{Change: event.Change{Room: room, Position: &event.Position{}}}
		var record, old string
		err := row.Scan(&s.Seq, &s.Change.Position.Epoch, &s.Change.Position.At,
			&s.Change.Kind, &s.Change.Name, &s.Change.Op, &s.Change.Keys, &record, &old, &s.Change.Stub, &s.Parked)
		s.Change.Position.Seq, s.Change.Record = s.Seq, json.RawMessage(record)
		if old != "" {
			s.Change.Old = json.RawMessage(old)
		}
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("sent again: %w", err)
	}
	return list, nil
}

// refused tells what a function of ours raised from what went wrong on the way.
func refused(what string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "P0002" || pg.Code == "22023") { // no_data_found, invalid_parameter_value
		return fmt.Errorf("%s: %w: %s", what, ErrRefused, pg.Message)
	}
	return err
}
