package authorize

import (
	"strconv"
	"testing"
	"time"
)

// When more users leave than can be remembered, a question that was under way before
// must not be remembered as a yes.
func TestMemoryForgetsEverybodyRatherThanNobody(t *testing.T) {
	m := newMemory(time.Hour, time.Hour)
	asked := time.Now()
	m.keep(question{1}, "before", asked)
	for i := range maxRemembered + 1 {
		m.forget(strconv.Itoa(i), time.Now())
	}
	m.keep(question{2}, "under way", asked)
	for q, user := range map[question]string{{1}: "before", {2}: "under way"} {
		if m.knows(q, user, time.Now()) {
			t.Errorf("the yes to %q is still known", user)
		}
	}
	m.keep(question{3}, "after", time.Now())
	if !m.knows(question{3}, "after", time.Now()) {
		t.Error("nothing is remembered afterwards")
	}
}
