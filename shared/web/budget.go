package web

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// Budget bounds the memory of all bodies in flight, of requests or of answers. Each caller
// is limited to a share of what the others leave, so that clients that send or read slowly
// run out before others do, however many callers they pose as. It is safe for concurrent use.
type Budget struct {
	total  int64 // bytes
	parts  int64 // a caller may have one of so many of what the others leave
	caller func(*http.Request) string

	mu   sync.Mutex
	used int64
	held map[string]int64 // by caller; callers without any are absent
}

// NewBudget returns a budget of total bytes. A caller may have one of so many parts of what
// the others leave: with 1, all. caller names whose request one is, such as
// [Addresses.Network].
func NewBudget(total, parts int64, caller func(*http.Request) string) *Budget {
	return &Budget{total: total, parts: parts, caller: caller, held: make(map[string]int64)}
}

// errNoRoom is returned by reads of a body that does not fit its budget.
var errNoRoom = errors.New("no room for another body")

// noRoomRetry is the Retry-After of a budget that is used up.
const noRoomRetry = time.Second

func noRoom() *Error {
	return Unavailable("too many large requests at once", noRoomRetry, errNoRoom)
}

// take charges n bytes to a caller, or nothing if they do not fit.
func (b *Budget) take(caller string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.held[caller]
	if held+n > (b.total-(b.used-held))/b.parts {
		return false
	}
	b.used += n
	b.held[caller] += n
	return true
}

func (b *Budget) giveBack(caller string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.held[caller] -= n; b.held[caller] == 0 {
		delete(b.held, caller)
	}
}

// account is what one request has been charged. Without a budget nothing is charged.
type account struct {
	budget *Budget
	caller string
	taken  int64
}

func (b *Budget) account(r *http.Request) account {
	if b == nil {
		return account{}
	}
	return account{budget: b, caller: b.caller(r)}
}

func (a *account) take(n int64) error {
	if a.budget == nil {
		return nil
	}
	if !a.budget.take(a.caller, n) {
		return errNoRoom
	}
	a.taken += n
	return nil
}

func (a *account) close() {
	if a.taken > 0 {
		a.budget.giveBack(a.caller, a.taken)
		a.taken = 0
	}
}

// accounted is a request body whose bytes are charged as they arrive, but for the first
// smallBody: there is always room for those, since connections are bounded, and a browser's
// question has no more.
type accounted struct {
	io.ReadCloser
	account *account
	arrived int64
}

const smallBody = firstRoom

// readCost is the memory that a byte of a body takes: the buffer doubles as it grows.
const readCost = 2

func (b *accounted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	before := max(b.arrived, smallBody)
	b.arrived += int64(n)
	if beyond := b.arrived - before; beyond > 0 {
		if payment := b.account.take(beyond * readCost); payment != nil {
			return 0, payment
		}
	}
	return n, err
}
