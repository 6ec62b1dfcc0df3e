// Package relay moves rows from the outbox to Pusher.
//
// A wake-up webhook (POST /webhooks/supabase) wakes the hot loop. It claims the rooms
// that have waiting rows, assigns them to workers, and acks what Pusher accepted:
//
//	claim ▶ translate ▶ publish ▶ ack
//
// A room belongs to one worker at a time, and a worker sends one batch at a time, so a
// room's events are accepted in order; workers run in parallel. Whatever fails, rows go
// back to the database and are claimed again: an event can be sent twice with the same
// seq, never skipped. In packed channels (event.Pack) rows that wait together share an
// event; in a repeat others may share it. The loop polls for a while after the last row,
// then lets its awake lease lapse and sleeps until the next webhook.
//
// A departure (user-left) stops its room until the user is disconnected: see hold.go.
package relay

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// Outbox is the database as the relay sees it.
type Outbox interface {
	StartAwake(ctx context.Context, lease time.Duration, place string) error
	StayAwake(ctx context.Context, lease time.Duration) error
	LeaveAwake(ctx context.Context) error
	MaySleep(ctx context.Context) (bool, error)
	HasWaiting(ctx context.Context) (bool, error)
	AssignSeqs(ctx context.Context) error
	Await(ctx context.Context, patience, every time.Duration) (found bool, err error)
	AwaitClaim(ctx context.Context, patience, every time.Duration, relay string, l outbox.Limits) ([]outbox.Room, error)
	Claim(ctx context.Context, relay string, l outbox.Limits) ([]outbox.Room, error)
	Ack(ctx context.Context, acks []outbox.Ack) (refused []string, err error)
	Park(ctx context.Context, room string, fence, seq int64, reason string) (bool, error)
	Clean(ctx context.Context, maxRuns int) (int64, error)
}

// Publisher is Pusher as the relay sees it. Its errors are sorted by
// [pusher.Classify].
type Publisher interface {
	PublishBatch(ctx context.Context, events []pusher.Event) error
}

// Revoker ends the access of users who left a room; *revoke.Revoker is one.
type Revoker interface {
	// Revoke ends the access of users who left one room by these departures, which were
	// first read at a time. Until it returns nil nothing behind them may be published.
	Revoke(ctx context.Context, departures []access.Departure, read time.Time) (wait time.Duration, err error)
	// Held reports whether nothing may be published to the room for now.
	Held(room string) bool

	// Poll goes on with what Revoke left for later, without waiting for it; NextAt says
	// when there is something to do, Busy whether something is under way.
	Poll(ctx context.Context)
	NextAt() time.Time
	Busy() bool
	// Finish does what is due before a deadline; Stop waits for what is under way.
	Finish(ctx context.Context, deadline time.Time)
	Stop()
}

var (
	_ Outbox    = (*outbox.DB)(nil)
	_ Publisher = (*pusher.Client)(nil)
)

// Config is what a relay is made of. Name, Outbox, Publisher, Channels and Log
// are needed; the zero value of the rest means the default.
type Config struct {
	Name string // of this process among relays; shown to operators
	// Place, if set, is what no other living relay has, and Name then ends in @Place: what was
	// leased to it before is a dead relay's, and is taken over at once.
	Place     string
	Outbox    Outbox
	Publisher Publisher
	Channels  []event.ChannelKind // every event goes to each of these of its room
	Revoker   Revoker             // nil: who left a room goes on listening
	// Accepted, if set, is told every change that Pusher accepted or never will. It is
	// called from many goroutines and must not block.
	Accepted func(event.Change)
	// Beside, if set, is run beside the hot loop while that is awake. Its context ends with
	// that, and the loop waits for it.
	Beside   func(ctx context.Context)
	Observer Observer
	Log      *slog.Logger

	// PackedRooms are the rooms that have event.Packed, if that is among Channels; empty:
	// all. See event.NewChannels for what the other rooms have.
	PackedRooms []string

	Workers    int           // batches under way at once; 32
	Claim      outbox.Limits // 4000 rows, 250 of a room, for 4 s
	AwakeLease time.Duration // how far ahead the awake lease is kept; 4 s
	Linger     time.Duration // how long it polls after the last row; 20 s
	CallLimit  time.Duration // for one database call; 10 s
}

func (c *Config) setDefaults() {
	c.Workers = cmp.Or(c.Workers, 32)
	c.Claim.Rows = cmp.Or(c.Claim.Rows, 4000)
	c.Claim.PerRoom = cmp.Or(c.Claim.PerRoom, 250)
	c.Claim.Lease = cmp.Or(c.Claim.Lease, 4*time.Second)
	c.AwakeLease = cmp.Or(c.AwakeLease, 4*time.Second)
	c.Linger = cmp.Or(c.Linger, 20*time.Second)
	c.CallLimit = cmp.Or(c.CallLimit, 10*time.Second)
	if c.Observer == nil {
		c.Observer = Unobserved{}
	}
}

// Relay is the hot loop. Make it with [New], run it with [Relay.Run], wake it
// with [Relay.Wake].
type Relay struct {
	Config
	channels event.Channels

	limit  int // bytes of data that fit all of Channels
	wake   chan struct{}
	check  chan struct{}
	busy   atomic.Bool
	health *health
	held   *heldRooms

	leave   context.CancelFunc // ends Run; Drain calls it
	leaving context.Context
	leaveBy atomic.Pointer[time.Time] // when workers must hand back what they have
	stopped chan struct{}             // closed when Run has returned
	running atomic.Bool
}

// New makes a relay that sleeps.
func New(c Config) *Relay {
	c.setDefaults()
	r := &Relay{
		Config:  c,
		limit:   pusher.ChannelsDataLimit(c.Channels),
		wake:    make(chan struct{}, 1),
		check:   make(chan struct{}, 1),
		health:  newHealth(c.Log, c.Observer),
		held:    newHeldRooms(),
		stopped: make(chan struct{}),
	}
	r.channels = event.NewChannels(c.Channels, c.PackedRooms)
	r.leaving, r.leave = context.WithCancel(context.Background())
	return r
}

// Wake wakes the loop, or keeps it awake. It never blocks.
func (r *Relay) Wake() {
	r.Observer.WebhookReceived()
	signal(r.wake)
}

// WakeIfWaiting makes a sleeping loop check once whether anything waits: every caller is
// one more chance to notice that a wake-up webhook was lost. It never blocks.
func (r *Relay) WakeIfWaiting() {
	if !r.busy.Load() {
		signal(r.check)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting already, and one is enough
	}
}

// Busy reports whether the loop is awake: leaving now would interrupt it.
func (r *Relay) Busy() bool { return r.busy.Load() }

// Trouble tells why Pusher does not accept events; nil while it does. It asks nobody.
func (r *Relay) Trouble() *Trouble { return r.health.trouble() }

// Run checks for rows once and then sleeps until it is woken, again and again,
// until ctx ends or [Relay.Drain] is called. When ctx ends it stops at once:
// whatever is under way will be sent again by another relay.
func (r *Relay) Run(ctx context.Context) {
	r.running.Store(true)
	defer close(r.stopped)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	r.WakeIfWaiting()
	var checked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.leaving.Done():
			return
		case <-r.wake:
		case <-r.check:
			if time.Since(checked) < checkEvery { // a storm of clients is no storm of queries
				continue
			}
			checked = time.Now()
			// If the database cannot say, waking is the way to find out when it can.
			if waits, err := r.hasWaiting(ctx); err == nil && !waits {
				continue
			}
		}
		r.busy.Store(true)
		r.stayAwake(ctx)
		r.busy.Store(false)
	}
}

// stayAwake runs the hot loop, and what is to run beside it.
func (r *Relay) stayAwake(ctx context.Context) {
	if r.Beside != nil {
		beside, end := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Beside(beside)
		}()
		defer func() { end(); <-done }()
	}
	newLoop(r).run(ctx)
}

// checkEvery bounds how often requests make a sleeping relay ask the database.
const checkEvery = time.Second

func (r *Relay) hasWaiting(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, r.CallLimit)
	defer cancel()
	return r.Outbox.HasWaiting(ctx)
}

// Drain makes Run give back the awake lease, finish what is under way, send what
// was committed meanwhile, and return. It waits for that until ctx ends.
func (r *Relay) Drain(ctx context.Context) error {
	if by, ok := ctx.Deadline(); ok {
		by = by.Add(-leaveMargin)
		r.leaveBy.Store(&by)
	}
	r.leave()
	if !r.running.Load() {
		return nil
	}
	select {
	case <-r.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Empty sends all that waits and returns: the loop for a platform on which
// nothing runs between two requests. It takes no awake lease, since it will not
// be polling, so every writer wakes it. It returns the error that stopped it early;
// the rows then wait for the next webhook or sweep.
func (r *Relay) Empty(ctx context.Context) error {
	return newLoop(r).empty(ctx)
}
