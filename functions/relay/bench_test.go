package relay

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher"
)

// counter is a Pusher that only counts.
type counter struct{ events atomic.Int64 }

// PublishBatch counts.
func (c *counter) PublishBatch(_ context.Context, events []pusher.Event) error {
	c.events.Add(int64(len(events)))
	return nil
}

// BenchmarkDrain empties a backlog of 100,000 rows in 200 rooms into a publisher
// that only counts: what claim, translation and ack cost.
func BenchmarkDrain(b *testing.B) {
	const rows, rooms = 100_000, 200
	url := outboxtest.Chat(b)
	db, err := outbox.Open(url, 4)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	for b.Loop() {
		b.StopTimer()
		if _, err := conn.Exec(b.Context(), fmt.Sprintf(`insert into messages (room_id, user_id, content)
			select ('00000000-0000-4000-8000-' || lpad((i %% %d)::text, 12, '0'))::uuid, gen_random_uuid(), 'a message of usual length, more or less, number ' || i
			from generate_series(1, %d) i`, rooms, rows)); err != nil {
			b.Fatal(err)
		}
		count := &counter{}
		r := New(Config{Name: "bench", Outbox: db, Publisher: count, Channels: []event.ChannelKind{event.Private}, Log: slog.New(slog.DiscardHandler)})
		b.StartTimer()
		if err := r.Empty(b.Context()); err != nil {
			b.Fatal(err)
		}
		if n := count.events.Load(); n != rows {
			b.Fatalf("published %d events", n)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}
