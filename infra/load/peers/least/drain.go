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

// Drainer empties the least outbox: select, post in tens, delete. With Overlap it
// selects the next rows, posts these and deletes the last ones side by side;
// without, one after another.
type Drainer struct {
	Pool    *pgxpool.Pool
	Fetch   int // rows of one select
	Posters int // batches under way at once
	Overlap bool
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
	ids     []int64
	batches [][]Event
}

// Run returns when the table was empty once, with how many rows it sent and deleted.
func (d *Drainer) Run(ctx context.Context) (sent int, err error) {
	if !d.Overlap {
		return d.oneByOne(ctx)
	}
	fetched, posted := make(chan chunk, 1), make(chan chunk, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(fetched)
		return d.fetch(ctx, fetched)
	})
	g.Go(func() error {
		defer close(posted)
		for c := range fetched {
			if err := d.post(ctx, c); err != nil {
				return err
			}
			if err := pass(ctx, posted, c); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		for c := range posted {
			if err := d.remove(ctx, c); err != nil {
				return err
			}
			sent += len(c.ids)
		}
		return nil
	})
	return sent, g.Wait()
}

func (d *Drainer) oneByOne(ctx context.Context) (sent int, err error) {
	for {
		c, err := d.next(ctx, 0)
		if err != nil || len(c.ids) == 0 {
			return sent, err
		}
		if err := d.post(ctx, c); err != nil {
			return sent, err
		}
		if err := d.remove(ctx, c); err != nil {
			return sent, err
		}
		sent += len(c.ids)
	}
}

func (d *Drainer) fetch(ctx context.Context, out chan<- chunk) error {
	for after := int64(0); ; {
		c, err := d.next(ctx, after)
		if err != nil || len(c.ids) == 0 {
			return err
		}
		after = c.ids[len(c.ids)-1]
		if err := pass(ctx, out, c); err != nil {
			return err
		}
	}
}

func pass(ctx context.Context, out chan<- chunk, c chunk) error {
	select {
	case out <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remove deletes what was posted, by id: a range of ids would take with it a row
// that was committed in between and never selected.
func (d *Drainer) remove(ctx context.Context, c chunk) error {
	if _, err := d.Pool.Exec(ctx, `delete from public.least_outbox where id = any ($1)`, c.ids); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func (d *Drainer) next(ctx context.Context, after int64) (c chunk, err error) {
	rows, err := d.Pool.Query(ctx, `select id, room, record::text from public.least_outbox where id > $1 order by id limit $2`, after, d.Fetch)
	if err != nil {
		return c, fmt.Errorf("select: %w", err)
	}
	var (
		id           int64
		room, record string
	)
	c.ids = make([]int64, 0, d.Fetch)
	events := make([]Event, 0, d.Fetch)
	_, err = pgx.ForEachRow(rows, []any{&id, &room, &record}, func() error {
		c.ids = append(c.ids, id)
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

// post sends a chunk's batches side by side, and returns when all are accepted.
func (d *Drainer) post(ctx context.Context, c chunk) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(d.Posters)
	for _, batch := range c.batches {
		g.Go(func() error { return d.Publish(ctx, batch) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	return nil
}
