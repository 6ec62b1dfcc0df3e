package authorize

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"roomcast/shared/token"
)

// ErrBusy: more questions wait for the database than it can answer in time. The
// caller is to come back; the database was not asked.
var ErrBusy = errors.New("too many questions at once")

// GateConfig is what a Gate is made of. Access is required.
type GateConfig struct {
	Access Access
	// Remember is how long a yes counts; 0 asks every time. It must be shorter than
	// the time between the end of a membership and the cut (relay.CutGrace): another
	// machine's Gate is not told of it, and must not hand a yes to a client that was
	// cut and is back. So a second is all there can be, which still answers what
	// comes together: a room's channels of several kinds, tabs, the catching up
	// behind a subscription.
	Remember time.Duration
	Slots    int           // questions asked of the database at once; 6
	Queue    int           // questions that may wait for a slot; 4096
	Limit    time.Duration // for one question, waiting included; 3 s
}

// Gate is an Access that stands between a storm of browsers and the database.
// After an outage every client asks for every room at once, and a database that
// drowns in questions about who may listen has no time for the chat itself.
//
// So no more than Slots questions are asked at a time, out of a pool whose other
// connections belong to the relay; equal questions are asked once; a yes is
// remembered for a moment, a no never; and what would wait too long is refused at
// once with [ErrBusy]. Nobody is let in who was not let in by the Access behind it
// within Remember. It is safe for concurrent use.
type Gate struct {
	cfg   GateConfig
	slots chan struct{}
	queue chan struct{}

	mu      sync.Mutex
	asking  map[question]*flight
	present memory
	past    memory // the one before it
	turned  time.Time
}

var _ Access = (*Gate)(nil)

// question is the hash of room, user and claims: a yes belongs to the token it was
// given to, since can_read may judge by its claims.
type question [sha256.Size]byte

// flight is one question under way, and its answer when done is closed.
type flight struct {
	done chan struct{}
	ok   bool
	err  error
}

// memory is what was learned in one period.
type memory struct {
	yes  map[question]time.Time // when it was asked
	left map[string]time.Time   // when a user was to be forgotten
}

func newMemory() memory {
	return memory{yes: make(map[question]time.Time), left: make(map[string]time.Time)}
}

// maxRemembered bounds each of a memory's maps, about 8 MB; beyond it nothing more
// is remembered.
const maxRemembered = 1 << 16

// NewGate returns a Gate.
func NewGate(cfg GateConfig) *Gate {
	if cfg.Slots == 0 {
		cfg.Slots = 6
	}
	if cfg.Queue == 0 {
		cfg.Queue = 4096
	}
	if cfg.Limit == 0 {
		cfg.Limit = accessTimeout
	}
	return &Gate{
		cfg:     cfg,
		slots:   make(chan struct{}, cfg.Slots),
		queue:   make(chan struct{}, cfg.Queue),
		asking:  make(map[question]*flight),
		present: newMemory(),
		past:    newMemory(),
	}
}

// CanRead answers for the Access behind the gate. Its error is that one's, ErrBusy,
// or the context's.
func (g *Gate) CanRead(ctx context.Context, room, userID string, claims []byte) (bool, error) {
	q := newQuestion(room, userID, claims)
	g.mu.Lock()
	if g.remembers(q, userID, time.Now()) {
		g.mu.Unlock()
		return true, nil
	}
	f, underWay := g.asking[q]
	if !underWay {
		f = &flight{done: make(chan struct{})}
		g.asking[q] = f
	}
	g.mu.Unlock()
	if !underWay {
		g.ask(ctx, q, f, room, userID, claims)
		return f.ok, f.err
	}
	select {
	case <-f.done:
		return f.ok, f.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// Forget makes the gate ask anew about a user, also where the question is under way:
// its answer is not remembered.
func (g *Gate) Forget(userID string) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.turn(now)
	if len(g.present.left) == maxRemembered { // everybody is leaving: forget everybody
		g.present, g.past = newMemory(), newMemory()
	}
	g.present.left[userID] = now
}

// InfoStore knows what a presence channel shows of a user; *outbox.DB is one. known
// is false where the team has no function for it.
type InfoStore interface {
	MemberInfo(ctx context.Context, room, userID string, claims []byte) (info map[string]any, known bool, err error)
}

// infoAgain is how long the gate believes that there is no such function.
const infoAgain = time.Minute

// Info asks a store behind the same gate, and the token where the store knows nothing.
func (g *Gate) Info(store InfoStore) MemberInfo {
	var unknown atomic.Pointer[time.Time] // since when
	return func(ctx context.Context, room string, user token.Claims) (map[string]any, error) {
		if at := unknown.Load(); at != nil && within(*at, time.Now(), infoAgain) {
			return InfoFromToken(ctx, room, user)
		}
		ctx, cancel := context.WithTimeout(ctx, g.cfg.Limit)
		defer cancel()
		leave, err := g.enter(ctx)
		if err != nil {
			return nil, err
		}
		info, known, err := store.MemberInfo(ctx, room, user.UserID, user.Raw)
		leave()
		if err == nil && !known {
			now := time.Now()
			unknown.Store(&now)
			return InfoFromToken(ctx, room, user)
		}
		return info, err
	}
}

// ask asks in the caller's goroutine, for all who wait for the same answer: the
// caller's hanging up is set aside.
func (g *Gate) ask(ctx context.Context, q question, f *flight, room, userID string, claims []byte) {
	f.err = errors.New("question interrupted") // by a panic, which must not leave others waiting
	began := time.Now()
	defer func() {
		g.mu.Lock()
		delete(g.asking, q)
		if f.ok && f.err == nil {
			g.remember(q, userID, began)
		}
		g.mu.Unlock()
		close(f.done)
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.Limit)
	defer cancel()
	leave, err := g.enter(ctx)
	if err != nil {
		f.err = err
		return
	}
	defer leave()
	began = time.Now()
	f.ok, f.err = g.cfg.Access.CanRead(ctx, room, userID, claims)
}

// enter waits for a slot, in turn, unless too many wait already.
func (g *Gate) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-g.slots }
	select {
	case g.slots <- struct{}{}:
		return leave, nil
	default:
	}
	select {
	case g.queue <- struct{}{}:
		defer func() { <-g.queue }()
	default:
		return nil, ErrBusy
	}
	select {
	case g.slots <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, ErrBusy
	}
}

func newQuestion(room, userID string, claims []byte) question {
	h := sha256.New()
	h.Write([]byte(userID))
	h.Write([]byte{0}) // neither of them holds one
	h.Write([]byte(room))
	h.Write([]byte{0})
	h.Write(claims)
	return question(h.Sum(nil))
}

// remembers reports whether a yes is fresh enough, and the user not gone since.
func (g *Gate) remembers(q question, userID string, now time.Time) bool {
	g.turn(now)
	for _, m := range []memory{g.present, g.past} {
		if asked, ok := m.yes[q]; ok {
			return within(asked, now, g.cfg.Remember) && !g.hasLeft(userID, asked)
		}
	}
	return false
}

func (g *Gate) remember(q question, userID string, asked time.Time) {
	g.turn(time.Now())
	if g.cfg.Remember > 0 && len(g.present.yes) < maxRemembered && !g.hasLeft(userID, asked) {
		g.present.yes[q] = asked
	}
}

func (g *Gate) hasLeft(userID string, asked time.Time) bool {
	for _, m := range []memory{g.present, g.past} {
		if left, ok := m.left[userID]; ok && !left.Before(asked) {
			return true
		}
	}
	return false
}

// turn makes the present the past once what the past holds can no longer matter: a
// departure matters to questions that began before it, Limit ago at most.
func (g *Gate) turn(now time.Time) {
	if age := g.cfg.Remember + g.cfg.Limit; !within(g.turned, now, age) {
		if within(g.turned, now, 2*age) {
			g.past = g.present
		} else {
			g.past = newMemory()
		}
		g.present, g.turned = newMemory(), now
	}
}

// within reports whether less than d has passed since t, by the monotonic clock and
// by the wall's, which goes on while a machine is suspended.
func within(t, now time.Time, d time.Duration) bool {
	wall := now.Round(0).Sub(t.Round(0))
	return now.Sub(t) < d && wall < d && wall >= 0
}
