package token

import (
	"crypto/sha256"
	"sync"
	"time"

	"roomcast/shared/recent"
)

// A browser that reconnects sends the same token with every request: one for each room,
// one to sign in, one for what it missed. Verifying an ES256 signature is most of what
// such a request costs (BenchmarkVerify), so a token that was found good is known by its
// hash for a moment. What depends on the time is checked every time.
const (
	memoFor = 5 * time.Second // how long at most a revoked key may still serve
	memoMax = 1 << 11         // tokens in each of two generations: 800 users a second, 6 MB of usual tokens
	memoLen = 4 << 10         // a longer token, in bytes, is verified every time
)

type fingerprint [sha256.Size]byte

// memo is the claims of the tokens verified in the last memoFor. It is safe for
// concurrent use.
type memo struct {
	mu    sync.Mutex
	known *recent.Map[fingerprint, Claims]
}

func newMemo() *memo {
	return &memo{known: recent.New[fingerprint, Claims](memoFor/2, memoMax)}
}

func (m *memo) get(f fingerprint, now time.Time) (Claims, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known.Get(f, now)
}

func (m *memo) put(f fingerprint, c Claims, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known.Put(f, c, now) // without room the token is verified again
}
