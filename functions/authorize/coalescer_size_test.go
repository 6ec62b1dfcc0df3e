package authorize_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roomcast/functions/authorize"
)

// Users with the largest of tokens ask and hang up, again and again, while the database is
// stuck. Their questions wait on, since others may have joined them, and keep one token of
// each user.
func TestQuestionsOfThoseWhoHungUpAreSmall(t *testing.T) {
	release := make(chan struct{})
	stuck := accessFunc(func(context.Context, string, string, []byte) (bool, error) {
		<-release
		return false, nil
	})
	d := newDesk(t, func(c *authorize.Config) {
		c.Access = authorize.NewCoalescer(authorize.CoalescerConfig{Access: stuck, Slots: 1})
		c.Observe = nil
	})
	defer close(release)
	const users, questions = 10, 300
	before := heap()
	for user := range users {
		compact := bearer(t, set("sub", fmt.Sprintf("8b9f3c0a-4a1e-4f6e-9d55-%012d", user)), set("about", strings.Repeat("x", 11<<10)))
		for i := range questions {
			post(d.channel, compact, formOf(socket, fmt.Sprint("private-room-", i)), func(r *http.Request) {
				ctx, hangUp := context.WithCancel(r.Context())
				hangUp()
				*r = *r.WithContext(ctx)
			})
		}
	}
	if each := (heap() - before) / (users * questions); each > 2<<10 {
		t.Errorf("a question that waits takes %d bytes", each)
	}
	runtime.KeepAlive(d)
}

// One user's questions wait with a few tokens at a time; another's are not held up.
func TestTokensThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: &asker{ok: true, takes: time.Second}, Slots: 1, Limit: time.Minute})
		var busy atomic.Int64
		var all sync.WaitGroup
		ask := func(user, claims string) {
			all.Go(func() {
				if _, err := c.CanRead(t.Context(), "r", user, []byte(claims)); errors.Is(err, authorize.ErrBusy) {
					busy.Add(1)
				}
			})
			synctest.Wait()
		}
		for i := range 12 {
			ask("u", fmt.Sprint(i))
		}
		if n := busy.Load(); n != 3 {
			t.Errorf("%d of 12 tokens refused, want 3: one is asked with, eight wait", n)
		}
		for i := range 4 {
			ask("v", fmt.Sprint(i))
		}
		all.Wait()
		if n := busy.Load(); n != 3 {
			t.Errorf("%d refused, another's among them", n)
		}
	})
}

// heap is what lives, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
