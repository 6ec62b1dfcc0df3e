package web

import (
	"sync"
	"time"
)

// sampler limits how many answers of one route are logged a second, of a kind that anybody can
// cause. The next line that is logged says how many were not.
type sampler struct {
	mu             sync.Mutex
	second         int64
	logged, unsaid int
}

const maxSampled = 20 // lines a second

// allow reports whether to log, and how many were not logged since the last that was.
func (s *sampler) allow(now time.Time) (ok bool, unsaid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := now.Unix(); second != s.second {
		s.second, s.logged = second, 0
	}
	if s.logged >= maxSampled {
		s.unsaid++
		return false, 0
	}
	s.logged++
	unsaid, s.unsaid = s.unsaid, 0
	return true, unsaid
}
