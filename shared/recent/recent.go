// Package recent is a bounded map whose entries expire, for answers that stay valid for
// a short time.
package recent

import "time"

// Map keeps entries in two generations and drops the older one as a whole, so expiry
// costs nothing per entry. An entry is found for one period after Put, unless Clear was
// called, and never after two. It is not safe for concurrent use.
type Map[K comparable, V any] struct {
	period time.Duration
	limit  int // entries in each generation

	began         time.Time // of the present generation
	present, past map[K]V
}

// New returns an empty Map. period is how long an entry is kept at least; limit bounds
// the entries of one period, so that at most twice as many are kept.
func New[K comparable, V any](period time.Duration, limit int) *Map[K, V] {
	return &Map[K, V]{period: period, limit: limit}
}

// Get returns what was last put under k.
func (m *Map[K, V]) Get(k K, now time.Time) (V, bool) {
	m.turn(now)
	v, ok := m.present[k]
	if !ok {
		v, ok = m.past[k]
	}
	return v, ok
}

// Put keeps v under k and reports whether there was room for it.
func (m *Map[K, V]) Put(k K, v V, now time.Time) bool {
	m.turn(now)
	if _, replaces := m.present[k]; !replaces && len(m.present) >= m.limit {
		return false
	}
	m.present[k] = v
	return true
}

// Delete forgets k.
func (m *Map[K, V]) Delete(k K) {
	delete(m.present, k)
	delete(m.past, k)
}

// Clear forgets everything.
func (m *Map[K, V]) Clear() { m.began, m.present, m.past = time.Time{}, nil, nil }

// turn begins a new generation when the present one is a period old. If the clock was
// set back both are dropped, since their ages are unknown.
func (m *Map[K, V]) turn(now time.Time) {
	switch {
	case m.present != nil && Within(m.began, now, m.period):
		return
	case Within(m.began, now, 2*m.period):
		m.past = m.present
	default:
		m.past = nil
	}
	m.present, m.began = make(map[K]V), now
}

// Within reports whether less than d has passed from t to now, by the wall clock and,
// where both times carry it, by the monotonic one: the monotonic clock stands still
// while a machine is suspended, and the wall clock may be set. A t that lies in the
// future is not within.
func Within(t, now time.Time, d time.Duration) bool {
	wall := now.Round(0).Sub(t.Round(0))
	return now.Sub(t) < d && wall < d && wall >= 0
}
