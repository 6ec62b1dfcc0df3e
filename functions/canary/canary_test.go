package canary_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"roomcast/functions/canary"
	"roomcast/shared/event"
	"roomcast/shared/listen"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
)

const channel = "private-roomcast-canary"

// store publishes what it is asked to write, as outbox and relay do.
type store struct {
	push   *pusher.Client
	n      atomic.Int64
	again  time.Duration
	broken atomic.Bool
}

func (s *store) Canary(ctx context.Context) (int64, time.Duration, error) {
	if s.broken.Load() {
		return 0, 0, context.DeadlineExceeded
	}
	n := s.n.Add(1)
	for _, n := range []int64{n - 1, n} { // the last one's repeat comes first
		data := fmt.Sprintf(`{"n":%d,"roomcast":{"seq":%d,"epoch":"e"}}`, n, n)
		_ = s.push.PublishBatch(ctx, []pusher.Event{{Channel: channel, Name: "canary", Data: []byte(data)}})
	}
	return n, s.again, nil
}

type result struct {
	what string
	took time.Duration
}

// run runs a canary until the test ends; stop ends it before.
func run(t *testing.T, push *pushertest.Server, s *store, change func(*canary.Config)) (results chan result, stop func()) {
	t.Helper()
	client, err := pusher.New(push.Config())
	if err != nil {
		t.Fatal(err)
	}
	s.push = client
	cfg, results := push.Config(), make(chan result, 100)
	c := canary.Config{
		Store: s, Log: slog.New(slog.DiscardHandler), Observe: func(what string, took time.Duration) { results <- result{what, took} },
		Listen: listen.Config{
			URL: listen.Address(cfg.Key, "", cfg.Host, false, "test"), Channel: channel,
			Authorize: func(_ context.Context, id string) ([]byte, error) { return client.AuthorizePrivate(id, channel) },
		},
		Patience: 300 * time.Millisecond, Connect: 10 * time.Second,
	}
	change(&c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		canary.New(c).Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return results, stop
}

func newPusher(t *testing.T) *pushertest.Server {
	t.Helper()
	return pushertest.Start(t, pushertest.Options{})
}

// A canary that is heard, one that Pusher takes and brings to nobody, and one heard again
// after the connection was cut; and its connection ends with it.
func TestHeardAndMissed(t *testing.T) {
	t.Parallel()
	push := newPusher(t)
	results, stop := run(t, push, &store{again: time.Second}, func(c *canary.Config) { c.Patience = 10 * time.Second })
	if r := <-results; r.what != canary.Heard || r.took <= 0 || r.took > 10*time.Second {
		t.Fatalf("%+v, want heard", r)
	}
	push.Cut()
	for r := range results { // one that was under way may have had no connection
		if r.what == canary.Heard {
			break
		}
		if r.what != canary.Unheard {
			t.Fatalf("after a cut: %+v", r)
		}
	}
	stop()
	if err := push.WaitSubscribers(t.Context(), channel, 0); err != nil {
		t.Error(err)
	}

	push.Inject(pushertest.Fault{Drop: true})
	missed, _ := run(t, push, &store{again: time.Second}, func(*canary.Config) {})
	if r := <-missed; r.what != canary.Missed {
		t.Errorf("%+v, want missed", r)
	}
}

// Without a connection no canary is written; without a database none can be.
func TestUnheardAndUnwritten(t *testing.T) {
	t.Parallel()
	push := newPusher(t)
	s := &store{again: time.Minute}
	results, _ := run(t, push, s, func(c *canary.Config) {
		c.Listen.URL, c.Connect = listen.Address("app", "", "127.0.0.1:9", false, "test"), 50*time.Millisecond
	})
	if r := <-results; r.what != canary.Unheard || s.n.Load() != 0 {
		t.Errorf("%+v, and %d were written", r, s.n.Load())
	}
	broken := &store{}
	broken.broken.Store(true)
	results, _ = run(t, push, broken, func(*canary.Config) {})
	if r := <-results; r.what != canary.Unwritten {
		t.Errorf("%+v, want unwritten", r)
	}
}

func TestItsChannelIsTheCanarys(t *testing.T) {
	if name, err := event.ChannelName(event.Canary, event.CanaryKey); name != channel || err != nil {
		t.Errorf("%q, %v", name, err)
	}
}
