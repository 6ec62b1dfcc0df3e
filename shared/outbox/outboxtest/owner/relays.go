package owner

import (
	"context"
	"fmt"
	"time"

	"roomcast/shared/outbox"
)

// relays implement [Relays] in this process: they claim beside the owner's statements, taking
// turns as two machines do, and keep account of what they were given: every room's rows from
// the first number on, in order, without a gap, and none twice.
type relays struct {
	dbs  []*outbox.DB
	last map[string]int64 // the last number given, by room
	turn int
	rows int64
}

// Open implements [Relays].
func (r *relays) Open(_ context.Context, url string) error {
	for range 2 {
		db, err := outbox.Open(url, 2)
		if err != nil {
			return err
		}
		r.dbs = append(r.dbs, db)
	}
	return nil
}

// Close implements [Relays].
func (r *relays) Close() {
	for _, db := range r.dbs {
		db.Close()
	}
}

// Run implements [Relays].
func (r *relays) Run(ctx context.Context) error {
	_, err := r.run(ctx)
	return err
}

// run claims once and acks what came. It reports how many rows that were.
func (r *relays) run(ctx context.Context) (int, error) {
	r.turn++
	db := r.dbs[r.turn%len(r.dbs)]
	rooms, err := db.Claim(ctx, fmt.Sprint("relay ", r.turn%len(r.dbs)), outbox.Limits{Rows: 200, PerRoom: 50, Lease: time.Minute})
	if err != nil {
		return 0, err
	}
	var acks []outbox.Ack
	n := 0
	for _, room := range rooms {
		for _, row := range room.Rows {
			if row.Seq != r.last[room.ID]+1 {
				return 0, fmt.Errorf("room %.40q: number %d came behind %d", room.ID, row.Seq, r.last[room.ID])
			}
			r.last[room.ID] = row.Seq
			n++
		}
		acks = append(acks, outbox.Ack{Room: room.ID, Fence: room.Fence, Seq: r.last[room.ID]})
	}
	r.rows += int64(n)
	if len(acks) > 0 {
		refused, err := db.Ack(ctx, acks)
		if err != nil {
			return 0, err
		}
		if len(refused) > 0 {
			return 0, fmt.Errorf("ack: refused for %q", refused)
		}
	}
	return n, nil
}

// Drain claims until nothing is left, and compares the account with the outbox: what was
// captured was given.
func (r *relays) Drain(ctx context.Context, kept func() (int64, error)) error {
	for {
		n, err := r.run(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	captured, err := kept()
	if err != nil {
		return err
	}
	if captured != r.rows {
		return fmt.Errorf("%d rows were captured, and the relays were given %d", captured, r.rows)
	}
	return nil
}
