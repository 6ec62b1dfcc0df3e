package least

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/shared/outbox/outboxtest"
)

// Each row is posted once, in tens, and then gone.
func TestDrainer(t *testing.T) {
	pool := leastOutbox(t)
	for _, overlap := range []bool{false, true} {
		t.Run(fmt.Sprint("overlap ", overlap), func(t *testing.T) {
			if _, err := pool.Exec(t.Context(), `insert into public.least_outbox (room, record) select i % 7, jsonb_build_object('n', i) from generate_series(1, 1234) i`); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			seen := map[string]int{}
			d := Drainer{Pool: pool, Fetch: 100, Posters: 4, Overlap: overlap, Publish: func(_ context.Context, events []Event) error {
				mu.Lock()
				defer mu.Unlock()
				if len(events) == 0 || len(events) > batchSize {
					return fmt.Errorf("a batch of %d", len(events))
				}
				for _, e := range events {
					seen[e.Data]++
				}
				return nil
			}}
			sent, err := d.Run(t.Context())
			if err != nil || sent != 1234 || len(seen) != 1234 {
				t.Errorf("sent %d rows, %d different ones, err %v", sent, len(seen), err)
			}
			var left int
			if err := pool.QueryRow(t.Context(), `select count(*) from public.least_outbox`).Scan(&left); err != nil || left != 0 {
				t.Errorf("%d rows left, err %v", left, err)
			}
		})
	}
}

func TestDrainerKeepsWhatWasNotAccepted(t *testing.T) {
	pool := leastOutbox(t)
	if _, err := pool.Exec(t.Context(), `insert into public.least_outbox (room, record) select 'r', '{}' from generate_series(1, 50)`); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	d := Drainer{Pool: pool, Fetch: 100, Posters: 1, Overlap: true, Publish: func(context.Context, []Event) error { return refused }}
	if _, err := d.Run(t.Context()); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	var left int
	if err := pool.QueryRow(t.Context(), `select count(*) from public.least_outbox`).Scan(&left); err != nil || left != 50 {
		t.Errorf("%d rows left, err %v", left, err)
	}
}

func leastOutbox(t *testing.T) *pgxpool.Pool {
	t.Helper()
	url := outboxtest.Database(t)
	if err := outboxtest.Exec(t.Context(), url, Table); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
