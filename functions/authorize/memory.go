package authorize

import (
	"time"

	"roomcast/shared/recent"
)

// memory is what a Coalescer remembers: which questions were answered yes, and which users
// left since. It is not safe for concurrent use.
type memory struct {
	remember time.Duration                    // how long a yes counts
	yes      *recent.Map[question, time.Time] // when it was asked
	left     *recent.Map[string, time.Time]   // by user: when to be forgotten
	voidTo   time.Time                        // a yes to what was asked until then is void
}

// maxRemembered bounds each generation of both maps, at about 2 MB: as many answers as
// one machine gives in the time that they are kept.
const maxRemembered = 1 << 14

// newMemory remembers a yes for so long. limit bounds how long a question may be under
// way: a departure matters to the questions asked before it.
func newMemory(remember, limit time.Duration) memory {
	return memory{
		remember: remember,
		yes:      recent.New[question, time.Time](remember+limit, maxRemembered),
		left:     recent.New[string, time.Time](remember+limit, maxRemembered),
	}
}

// knows reports whether there is a yes, fresh enough and of a user who has not left since.
func (m *memory) knows(q question, userID string, now time.Time) bool {
	asked, ok := m.yes.Get(q, now)
	return ok && recent.Within(asked, now, m.remember) && !m.hasLeft(userID, asked, now)
}

// keep remembers a yes to what was asked at a time, unless the user left meanwhile.
func (m *memory) keep(q question, userID string, asked time.Time) {
	if now := time.Now(); m.remember > 0 && !m.hasLeft(userID, asked, now) {
		m.yes.Put(q, asked, now)
	}
}

// forget makes every yes to a user's questions from before now void. When more users
// leave than can be remembered, every yes to anybody is void.
func (m *memory) forget(userID string, now time.Time) {
	if !m.left.Put(userID, now, now) {
		m.yes.Clear()
		m.voidTo = now
	}
}

func (m *memory) hasLeft(userID string, asked, now time.Time) bool {
	left, ok := m.left.Get(userID, now)
	return ok && !left.Before(asked) || !m.voidTo.Before(asked)
}
