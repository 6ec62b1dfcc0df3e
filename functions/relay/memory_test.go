package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// flood is an outbox that always has another 4 MB of rows, each in a room of its own.
type flood struct {
	Outbox
	claims atomic.Int64
}

func (f *flood) StartAwake(context.Context, time.Duration, string) error { return nil }
func (f *flood) StayAwake(context.Context, time.Duration) error          { return nil }
func (f *flood) LeaveAwake(context.Context) error                        { return nil }
func (f *flood) HasWaiting(context.Context) (bool, error)                { return true, nil }
func (f *flood) Ack(context.Context, []outbox.Ack) ([]string, error) {
	return nil, nil
}

func (f *flood) Claim(context.Context, string, outbox.Limits) (rooms []outbox.Room, err error) {
	n := f.claims.Add(1)
	record := json.RawMessage(`{"content":"` + strings.Repeat("x", 1<<20) + `"}`)
	for i := range 4 {
		id := fmt.Sprint(n, " ", i)
		rooms = append(rooms, outbox.Room{ID: id, Rows: []outbox.Row{{Seq: 1, Change: event.Change{
			Kind: event.Rows, Op: event.Insert, Room: id, Record: record, Position: &event.Position{Seq: 1, Epoch: "e", At: "t"},
		}}}})
	}
	return rooms, nil
}

func (f *flood) Await(context.Context, time.Duration, time.Duration) (bool, error) { return true, nil }

func (f *flood) AwaitClaim(ctx context.Context, _, _ time.Duration, relay string, l outbox.Limits) ([]outbox.Room, error) {
	return f.Claim(ctx, relay, l)
}

// hung is a Pusher that does not answer.
type hung struct{}

func (hung) PublishBatch(ctx context.Context, _ []pusher.Event) error {
	<-ctx.Done()
	return ctx.Err()
}

// What workers have before them is bounded in bytes, not only in rows.
func TestMemoryIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flood{}
		r := New(Config{Name: "r", Outbox: f, Publisher: hung{}, Channels: []event.ChannelKind{event.Private}, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			r.Run(ctx)
			close(done)
		}()
		r.Wake()
		time.Sleep(2 * time.Second) // of the bubble's clock, within the lease: claims come every few milliseconds
		if n := f.claims.Load(); n < 2 || n > 3 {
			t.Errorf("claimed %d times 4 MB while Pusher hangs, want at most 3", n)
		}
		cancel()
		<-done
	})
}

// A departure told in a user's own stream stops nothing there: it ends the access to the
// room, not to the user's own channel.
func TestOnlyARoomsDepartureStopsIt(t *testing.T) {
	left := event.Change{Kind: event.Members, Op: event.Delete, Room: "r"}
	mine := left
	mine.Room = "@11111111-0000-4000-8000-000000000001"
	like := left
	like.Room = event.RoomKey(mine.Room)
	joined := left
	joined.Op = event.Insert
	for _, tc := range []struct {
		change event.Change
		want   bool
	}{{left, true}, {mine, false}, {like, true}, {joined, false}} {
		if got := tc.change.IsDeparture(); got != tc.want {
			t.Errorf("%+v ends access: %v", tc.change, got)
		}
	}
}
