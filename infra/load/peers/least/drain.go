package least

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// Table is the least outbox. The load program fills it with the records that
// Roomcast's own outbox holds.
const Table = `create table if not exists public.least_outbox (
  id     bigint generated always as identity primary key,
  room   text not null,
  record jsonb not null)`

// Drainer empties the least outbox: select, post in tens, delete. Selecting the
// next rows, posting these and deleting the last ones go on side by side.
type Drainer struct {
	Pool    *pgxpool.Pool
	Fetch   int // rows of one select
	Posters int // batches under way at once
	// Publish takes up to ten events.
	Publish func(context.Context, []Event) error
}

// The settings at which it was fastest on two cores, of 1,000 to 20,000 rows a
// select and 2 to 64 batches at once.
const (
	Fetch   = 5000
	Posters = 32
)

// batchSize is Pusher's limit of events in one call.
const batchSize = 10

// chunk is what one select brought, cut into batches.
type chunk struct {
	last    int64 // greatest id
	batches [][]Event
}

// Run returns when the table was empty once, with how many rows it sent.
func (d *Drainer) Run(ctx context.Context) (sent int, err error) {
	fetched, posted := make(chan chunk, 1), make(chan chunk, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(fetched)
		return d.fetch(ctx, fetched)
	})
	g.Go(func() error {
		defer close(posted)
		return d.post(ctx, fetched, posted)
	})
	g.Go(func() error {
		for c := range posted {
			// Nobody else deletes, and ids below are posted: a range needs no list.
			tag, err := d.Pool.Exec(ctx, `delete from public.least_outbox where id <= $1`, c.last)
			if err != nil {
				return fmt.Errorf("delete: %w", err)
			}
			sent += int(tag.RowsAffected())
		}
		return nil
	})
	return sent, g.Wait()
}

func (d *Drainer) fetch(ctx context.Context, out chan<- chunk) error {
	for after := int64(0); ; {
		c, err := d.next(ctx, after)
		if err != nil {
			return fmt.Errorf("select: %w", err)
		}
		if len(c.batches) == 0 {
			return nil
		}
		after = c.last
		select {
		case out <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *Drainer) next(ctx context.Context, after int64) (chunk, error) {
	c := chunk{last: after}
	rows, err := d.Pool.Query(ctx, `select id, room, record::text from public.least_outbox where id > $1 order by id limit $2`, after, d.Fetch)
	if err != nil {
		return c, err
	}
	var room, record string
	events := make([]Event, 0, d.Fetch)
	_, err = pgx.ForEachRow(rows, []any{&c.last, &room, &record}, func() error {
		events = append(events, Event{Channel: "private-room-" + room, Name: "new-message", Data: record})
		return nil
	})
	for len(events) > 0 {
		n := min(batchSize, len(events))
		c.batches = append(c.batches, events[:n])
		events = events[n:]
	}
	return c, err
}

// post sends a chunk's batches side by side, and passes the chunk on when all are
// accepted.
func (d *Drainer) post(ctx context.Context, in <-chan chunk, out chan<- chunk) error {
	for c := range in {
		g, batchCtx := errgroup.WithContext(ctx)
		g.SetLimit(d.Posters)
		for _, batch := range c.batches {
			g.Go(func() error { return d.Publish(batchCtx, batch) })
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("post: %w", err)
		}
		select {
		case out <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
