package authorize

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"roomcast/shared/recent"
	"roomcast/shared/token"
	"roomcast/shared/web"
)

// ErrBusy: more questions wait for the database than it can answer in time. The
// caller is to come back.
var ErrBusy = errors.New("too many questions at once")

// BatchAccess is an Access that answers many questions in one call, in their order;
// access.Store is one. The answer to a question that fails is nil; that one is asked again
// alone, for its error. If the call itself fails, all are asked one by one.
type BatchAccess interface {
	Access
	CanReadAll(ctx context.Context, rooms, userIDs []string, claims [][]byte) ([]*bool, error)
}

// CoalescerConfig is what a Coalescer is made of. Access is required.
type CoalescerConfig struct {
	Access Access
	// Remember is how long a yes counts; 0 asks every time. It must be shorter than
	// the time between the two disconnects of a departure (revoke.Grace): another
	// machine's Coalescer is not told of it, and must not hand a yes to a client that was
	// disconnected and is back. So less than a second is all there can be, which still answers
	// what comes together: a room's channels of several kinds, tabs, the catching up
	// behind a subscription.
	Remember time.Duration
	Slots    int           // calls to the database at once; 4
	Batch    int           // questions in one call of a BatchAccess; 100
	Queue    int           // questions that may wait for a call; 20,000
	Each     int           // of them, one user's at most; 500
	Limit    time.Duration // for one question, waiting included; 3 s
}

// Coalescer is an Access that stands between a storm of browsers and the database.
// After an outage every client asks for every room at once, and a database that
// drowns in questions about who may listen has no time for the chat itself.
//
// So there are no more than Slots calls at a time, and what waits meanwhile goes
// into the next one together, by turns of the users; equal questions are asked once; a yes
// is remembered for a moment, a no never; and what would wait too long is refused with
// [ErrBusy].
// Nobody is let in who was not let in by the Access behind it within Remember. It is
// safe for concurrent use; at rest it has no goroutine.
type Coalescer struct {
	cfg   CoalescerConfig
	batch BatchAccess // nil if Access is none
	infos *web.Turns  // of Info

	mu      sync.Mutex
	asking  map[question]*flight
	pending lines // not yet asked
	calls   int
	memory  memory
}

var _ Access = (*Coalescer)(nil)

// question is the hash of room, user and claims: a yes belongs to the token it was
// given to, since can_read may judge by its claims.
type question [sha256.Size]byte

// flight is one question under way, and its answer when done is closed.
type flight struct {
	*asker
	question question
	room     string
	until    time.Time // when nobody waits for it any more

	done chan struct{}
	ok   bool
	err  error
}

// defaultSlots is as many calls at once as the function makes, too.
const defaultSlots = 4

// asker is in whose name a question is asked.
type asker struct {
	ctx    context.Context // has the bearer of the first caller's, and not its end
	userID string
	claims []byte
}

// NewCoalescer returns a Coalescer.
func NewCoalescer(cfg CoalescerConfig) *Coalescer {
	cfg.Slots = cmp.Or(cfg.Slots, defaultSlots)
	cfg.Batch = cmp.Or(cfg.Batch, 100)
	cfg.Queue = cmp.Or(cfg.Queue, 20_000)
	cfg.Each = cmp.Or(cfg.Each, 500)
	cfg.Limit = cmp.Or(cfg.Limit, accessTimeout)
	c := &Coalescer{
		cfg:    cfg,
		infos:  web.NewTurns(max(1, cfg.Slots/2)),
		asking: make(map[question]*flight),
		memory: newMemory(cfg.Remember, cfg.Limit),
	}
	c.batch, _ = cfg.Access.(BatchAccess)
	return c
}

// CanRead answers for the Access behind the coalescer. Its error is that one's, ErrBusy,
// or the context's.
func (c *Coalescer) CanRead(ctx context.Context, room, userID string, claims []byte) (bool, error) {
	answer := c.CanReadMany(ctx, []string{room}, userID, claims)[0]
	return answer.OK, answer.Err
}

// Answer is what CanRead returns.
type Answer struct {
	OK  bool
	Err error
}

// CanReadMany answers about many rooms for one user, in their order. What is not known
// goes into as few calls as Batch allows.
func (c *Coalescer) CanReadMany(ctx context.Context, rooms []string, userID string, claims []byte) []Answer {
	answers, flights := make([]Answer, len(rooms)), make([]*flight, len(rooms))
	// Others may come to wait for the same answers, so the first one's hanging up is set
	// aside; all else that its context holds would be kept meanwhile.
	who := &asker{withBearer(context.Background(), bearerOf(ctx)), userID, claims}
	all := newQuestions(userID, claims)
	c.mu.Lock()
	for i, room := range rooms {
		answers[i], flights[i] = c.join(who, all.about(room), room)
	}
	if c.pending.size > 0 && c.calls < c.cfg.Slots {
		c.calls++
		go c.work()
	}
	c.mu.Unlock()
	for i, f := range flights {
		if f != nil {
			answers[i].OK, answers[i].Err = f.wait(ctx)
		}
	}
	return answers
}

// join returns the answer where it is known, or the flight that will bring it.
func (c *Coalescer) join(who *asker, q question, room string) (Answer, *flight) {
	now := time.Now()
	if c.memory.knows(q, who.userID, now) {
		return Answer{OK: true}, nil
	}
	f := c.asking[q]
	if f == nil {
		if !c.pending.mayAdd(who.userID, c.cfg.Queue, c.cfg.Each) {
			return Answer{Err: ErrBusy}, nil
		}
		f = &flight{asker: who, question: q, room: room, until: now.Add(c.cfg.Limit), done: make(chan struct{})}
		if !c.pending.add(f) {
			return Answer{Err: ErrBusy}, nil
		}
		c.asking[q] = f
	}
	return Answer{}, f
}

func (f *flight) wait(ctx context.Context) (bool, error) {
	select {
	case <-f.done: // as those that were in one call with the request's first mostly are
		return f.ok, f.err
	default:
	}
	limit := time.NewTimer(time.Until(f.until))
	defer limit.Stop()
	select {
	case <-f.done:
		return f.ok, f.err
	case <-limit.C:
		return false, ErrBusy
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// Forget makes the coalescer ask again about a user, also where the question is under way:
// its answer is not remembered.
func (c *Coalescer) Forget(userID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory.forget(userID, time.Now())
}

// questions is the hash of a user and claims, which all questions of a request share.
type questions [sha256.Size]byte

func newQuestions(userID string, claims []byte) questions {
	h := sha256.New()
	h.Write([]byte(userID)) // of one length
	h.Write(claims)
	return questions(h.Sum(nil))
}

func (q questions) about(room string) question {
	var text [256]byte // enough for most
	return sha256.Sum256(append(append(text[:0], q[:]...), room...))
}

// InfoStore knows what a presence channel shows of a user; access.Store is one. known
// is false where the team has no function for it.
type InfoStore interface {
	MemberInfo(ctx context.Context, room, userID string, claims []byte) (info map[string]any, known bool, err error)
}

// infoAgain is how long the coalescer believes that there is no such function.
const infoAgain = time.Minute

// Info asks a store, a few at a time and each user in turn, and the token where the store
// knows nothing.
func (c *Coalescer) Info(store InfoStore) MemberInfo {
	var unknown atomic.Pointer[time.Time] // since when
	return func(ctx context.Context, room string, user token.Claims) (map[string]any, error) {
		if at := unknown.Load(); at != nil && recent.Within(*at, time.Now(), infoAgain) {
			return InfoFromToken(ctx, room, user)
		}
		ctx, cancel := context.WithTimeout(ctx, c.cfg.Limit)
		defer cancel()
		leave, err := c.infos.Enter(ctx, user.UserID)
		if err != nil {
			return nil, ErrBusy
		}
		defer leave()
		info, known, err := store.MemberInfo(ctx, room, user.UserID, user.Raw)
		if err == nil && !known {
			now := time.Now()
			unknown.Store(&now)
			return InfoFromToken(ctx, room, user)
		}
		return info, err
	}
}
