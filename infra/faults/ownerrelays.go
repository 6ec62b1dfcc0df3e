package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox/outboxtest/owner"
	"roomcast/shared/pusher/pushertest"
)

// ownerRelays are two machines of the function beside the hostile owner, with a Pusher of
// their own, which keeps account: every room's events from the first number on, in order and
// without a gap; a repeat repeats.
type ownerRelays struct {
	options
	binary  string
	stderr  io.Writer
	rnd     *rand.Rand
	pusher  *pushertest.Server
	url     string
	relays  []*relay
	steps   int
	kills   int
	mu      sync.Mutex
	last    map[string]int64 // the last number heard, by stream
	broken  error            // the first promise that was
	repeats int
}

var _ owner.Relays = (*ownerRelays)(nil)

func newOwnerRelays(o options, binary string, stderr io.Writer) *ownerRelays {
	return &ownerRelays{options: o, binary: binary, stderr: stderr, rnd: rand.New(rand.NewPCG(o.seed, 2)), last: map[string]int64{}}
}

// Open starts Pusher and the relays.
func (r *ownerRelays) Open(ctx context.Context, url string) (err error) {
	r.url = url
	if r.pusher, err = pushertest.New(pushertest.Options{Record: -1}); err != nil {
		return err
	}
	r.pusher.OnEvent(r.heard)
	c := r.pusher.Config()
	log := io.Discard
	if r.verbose {
		log = r.stderr
	}
	for range 2 {
		one := &relay{binary: r.binary, log: log, env: []string{
			"DATABASE_URL=" + url, "PUSHER_HOST=" + c.Host, "PUSHER_TLS=false",
			"PUSHER_APP_ID=" + c.AppID, "PUSHER_KEY=" + c.Key, "PUSHER_SECRET=" + c.Secret,
			"SUPABASE_JWT_SECRET=" + jwtSecret, "WEBHOOK_SECRET=" + webhookSecret,
			"LISTEN_HOST=127.0.0.1", "IDLE_EXIT=0", "LOG_LEVEL=info", "CLAIM_LEASE=" + r.timing.lease.String(), "LINGER=" + linger.String(),
		}}
		r.relays = append(r.relays, one)
		if err := one.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// heard takes the account of one event.
func (r *ownerRelays) heard(a pushertest.Accepted) {
	var data struct {
		Roomcast struct {
			Seq int64 `json:"seq"`
		} `json:"roomcast"`
	}
	_, stream, err := event.ParseChannel(a.Channel)
	if err == nil {
		err = json.Unmarshal([]byte(a.Data), &data)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch seq, last := data.Roomcast.Seq, r.last[stream]; {
	case a.Name == event.RoomActivity: // a hint, without a number
	case err != nil:
		r.broken = errors.Join(r.broken, fmt.Errorf("%s on %s: %w", a.Name, a.Channel, err))
	case seq < 1 || seq > last+1:
		r.broken = errors.Join(r.broken, fmt.Errorf("stream %.40q: number %d came behind %d", stream, seq, last))
	case seq <= last:
		r.repeats++
	default:
		r.last[stream] = seq
	}
}

// account is how many events were heard once, and what was broken.
func (r *ownerRelays) account() (n int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, seq := range r.last {
		n += seq
	}
	return n, r.broken
}

// Run wakes one of the relays, which is started first if it was killed, and now and then
// kills it at its work.
func (r *ownerRelays) Run(ctx context.Context) error {
	r.steps++
	one := r.relays[r.rnd.IntN(len(r.relays))]
	if err := one.start(ctx); err != nil {
		return err
	}
	if err := r.wake(ctx, one); err != nil {
		return err
	}
	if r.steps%12 == 0 {
		r.kills++
		if err := one.kill(); err != nil {
			return err
		}
	}
	_, err := r.account()
	return err
}

func (r *ownerRelays) wake(ctx context.Context, one *relay) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+one.address()+"/webhooks/supabase", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+webhookSecret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("wake: %w", err)
	}
	return resp.Body.Close()
}

// Drain waits until Pusher has all that was captured, and compares.
func (r *ownerRelays) Drain(ctx context.Context, captured func() (int64, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	want := int64(-1)
	for {
		for _, one := range r.relays {
			if err := errors.Join(one.start(ctx), r.wake(ctx, one)); err != nil {
				return err
			}
		}
		got, err := r.account()
		if err != nil {
			return err
		}
		if want, err = captured(); err != nil || got == want {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d rows were captured, and Pusher was given %d", want, got)
		}
	}
}

// Close ends the relays and Pusher.
func (r *ownerRelays) Close() {
	for _, one := range r.relays {
		_ = one.kill()
	}
	if r.pusher != nil {
		r.pusher.Close()
	}
}
