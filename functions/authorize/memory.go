package authorize

import "time"

// memory is what a Gate remembers: who was let in where, and who left since. It is
// kept in two periods, the older of which is dropped whole, so that forgetting costs
// nothing. It is not safe for concurrent use.
type memory struct {
	remember time.Duration // how long a yes counts
	period   time.Duration
	began    time.Time // the present period
	present  period
	past     period
}

type period struct {
	yes  map[question]time.Time // when it was asked
	left map[string]time.Time   // when the user was to be forgotten
}

func newPeriod() period {
	return period{yes: make(map[question]time.Time), left: make(map[string]time.Time)}
}

// maxRemembered bounds each map of a period, at about 8 MB.
const maxRemembered = 1 << 16

// newMemory remembers a yes for so long. limit bounds how long a question may be
// under way: a departure matters to the questions asked before it.
func newMemory(remember, limit time.Duration) memory {
	return memory{remember: remember, period: remember + limit, present: newPeriod(), past: newPeriod()}
}

// knows reports whether there is a yes, fresh enough and of a user not gone since.
func (m *memory) knows(q question, userID string, now time.Time) bool {
	m.turn(now)
	for _, p := range []period{m.present, m.past} {
		if asked, ok := p.yes[q]; ok {
			return within(asked, now, m.remember) && !m.hasLeft(userID, asked)
		}
	}
	return false
}

// keep remembers a yes to what was asked at a time, unless the user left meanwhile.
func (m *memory) keep(q question, userID string, asked time.Time) {
	m.turn(time.Now())
	if m.remember > 0 && len(m.present.yes) < maxRemembered && !m.hasLeft(userID, asked) {
		m.present.yes[q] = asked
	}
}

// forget makes every yes to a user's questions from before now void.
func (m *memory) forget(userID string, now time.Time) {
	m.turn(now)
	if len(m.present.left) == maxRemembered { // everybody is leaving: forget everybody
		*m = newMemory(m.remember, m.period-m.remember)
		m.began = now
	}
	m.present.left[userID] = now
}

func (m *memory) hasLeft(userID string, asked time.Time) bool {
	for _, p := range []period{m.present, m.past} {
		if left, ok := p.left[userID]; ok && !left.Before(asked) {
			return true
		}
	}
	return false
}

// turn makes the present the past once what the past holds can no longer matter.
func (m *memory) turn(now time.Time) {
	if within(m.began, now, m.period) {
		return
	}
	if m.past = newPeriod(); within(m.began, now, 2*m.period) {
		m.past = m.present
	}
	m.present, m.began = newPeriod(), now
}

// within reports whether less than d has passed since t, by the monotonic clock and
// by the wall's, which goes on while a machine is suspended.
func within(t, now time.Time, d time.Duration) bool {
	wall := now.Round(0).Sub(t.Round(0))
	return now.Sub(t) < d && wall < d && wall >= 0
}
