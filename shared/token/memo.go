package token

import (
	"crypto/sha256"
	"sync"
	"time"
)

// A browser that comes back sends the same token with every question: one for each
// room, one to sign in, one for what it missed. Verifying an ES256 signature is most
// of what such a request costs (BenchmarkVerify), so a token that was found good is
// known by its hash for a moment. What depends on the time is checked every time.
const (
	memoFor = 5 * time.Second // so long a key that is revoked may still serve
	memoMax = 1 << 13         // tokens in each of two periods, about 25 MB of usual ones
	memoLen = 4 << 10         // bytes of a token that is worth it
)

type fingerprint [sha256.Size]byte

// memo holds two periods, the older of which is dropped whole.
type memo struct {
	mu            sync.Mutex
	began         time.Time
	present, past map[fingerprint]Claims
}

// get returns the claims of a token that was verified in the last two periods.
func (m *memo) get(f fingerprint, now time.Time) (Claims, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	c, ok := m.present[f]
	if !ok {
		c, ok = m.past[f]
	}
	return c, ok
}

func (m *memo) put(f fingerprint, c Claims, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	if len(m.present) < memoMax {
		m.present[f] = c
	}
}

// turn begins a new period. A clock that was set back makes all forgotten.
func (m *memo) turn(now time.Time) {
	switch {
	case within(now, m.began, memoFor/2):
		return
	case within(now, m.began, memoFor):
		m.past = m.present
	default:
		m.past = nil
	}
	m.present, m.began = make(map[fingerprint]Claims), now
}
