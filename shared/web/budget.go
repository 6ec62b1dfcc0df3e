package web

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// Budget bounds the memory of all bodies in flight, of requests or of answers. Each caller
// is limited to a share, so that a client that sends or reads slowly runs out before
// others do. It is safe for concurrent use.
type Budget struct {
	total  int64 // bytes
	share  int64
	caller func(*http.Request) string

	mu   sync.Mutex
	used int64
	held map[string]int64 // by caller; callers without any are absent
}

// NewBudget returns a budget of total bytes, of which each caller may have share. caller
// names whose request one is, such as [Addresses.Network].
func NewBudget(total, share int64, caller func(*http.Request) string) *Budget {
	return &Budget{total: total, share: share, caller: caller, held: make(map[string]int64)}
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
	if b.used+n > b.total || b.held[caller]+n > b.share {
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

// accounted is a request body whose bytes are charged as they arrive.
type accounted struct {
	io.ReadCloser
	account *account
}

// readCost is the memory that a byte of a body takes: the buffer doubles as it grows.
const readCost = 2

func (b accounted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if payment := b.account.take(int64(n) * readCost); payment != nil {
		return 0, payment
	}
	return n, err
}
