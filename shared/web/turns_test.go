package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// One caller with a hundred requests waits for himself: another's is next.
func TestTurnsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(1)
		var mu sync.Mutex
		var order []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, what)
		}
		enter := func(caller string) {
			leave, err := turns.Enter(t.Context(), caller)
			if err != nil {
				note(caller + " refused")
				return
			}
			note(caller)
			time.Sleep(10 * time.Millisecond)
			leave()
		}
		for range 50 {
			go enter("many")
			synctest.Wait()
		}
		go enter("one")
		synctest.Wait()
		time.Sleep(25 * time.Millisecond)
		synctest.Wait()
		mu.Lock()
		first := strings.Join(order[:2], " ")
		mu.Unlock()
		if !strings.Contains(first, "one") {
			t.Errorf("went in the order %s", first)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(order) != 51 || turns.running != 0 || len(turns.by) != 0 {
			t.Errorf("%d went, %d are running, %d callers are known", len(order), turns.running, len(turns.by))
		}
	})
}

// Five callers with a hundred requests each, more than there are slots, and enough to fill
// the queue: another's request takes a place of theirs and is served after one of each.
func TestTurnsAreFairAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2)
		var mu sync.Mutex
		var order []string
		enter := func(caller string) {
			leave, err := turns.Enter(t.Context(), caller)
			mu.Lock()
			if err != nil {
				caller += " refused"
			}
			order = append(order, caller)
			mu.Unlock()
			if err == nil {
				time.Sleep(10 * time.Millisecond)
				leave()
			}
		}
		for i := range turnsWaits + 2 {
			go enter(fmt.Sprint("many", i%5))
			synctest.Wait()
		}
		go enter("one")
		synctest.Wait()
		time.Sleep(30 * time.Millisecond)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if said := strings.Join(order, " "); !strings.Contains(said, "one") || strings.Contains(said, "one refused") || strings.Count(said, "refused") != 1 {
			t.Errorf("went in the order %s", said)
		}
		mu.Unlock()
		time.Sleep(turnsWithin)
		synctest.Wait()
		mu.Lock()
		if len(order) != turnsWaits+3 || turns.running != 0 || len(turns.by) != 0 || len(turns.queue) != 0 {
			t.Errorf("%d went, left behind: %+v", len(order), turns)
		}
	})
}

// A caller whose requests take long leaves a slot to others, and takes it no more when they
// have gone.
func TestNoCallerHasEverySlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(3)
		most, now := 0, 0
		var mu sync.Mutex
		for range 5 {
			go func() {
				leave, err := turns.Enter(t.Context(), "slow")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				now--
				mu.Unlock()
				leave()
			}()
		}
		synctest.Wait()
		for range 2 {
			asked := time.Now()
			leave, err := turns.Enter(t.Context(), "another")
			if err != nil || !time.Now().Equal(asked) {
				t.Errorf("another waits %v, %v", time.Since(asked), err)
				break
			}
			leave()
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if most != 2 || turns.running != 0 || len(turns.by) != 0 || len(turns.queue) != 0 {
			t.Errorf("%d at once; left behind: %+v", most, turns)
		}
	})
}

func TestTurnsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(1)
		leave, _ := turns.Enter(t.Context(), "first")
		refused := func(err error) bool {
			var answer *Error
			return errors.As(err, &answer) && answer.Status == 503 && answer.RetryAfter > 0
		}
		ends := make(chan error, turnsWaits)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range turnsWaits {
			go func() {
				_, err := turns.Enter(ctx, fmt.Sprint("caller", i%10))
				ends <- err
			}()
		}
		synctest.Wait()
		if _, err := turns.Enter(t.Context(), "caller0"); !refused(err) {
			t.Errorf("beyond all that may wait: %v", err)
		}
		cancel()
		synctest.Wait()
		for range turnsWaits {
			if err := <-ends; !errors.Is(err, context.Canceled) {
				t.Fatalf("hung up: %v", err)
			}
		}
		for range turnsEach {
			go func() {
				_, err := turns.Enter(t.Context(), "one")
				ends <- err
			}()
		}
		synctest.Wait()
		asked := time.Now()
		if _, err := turns.Enter(t.Context(), "one"); !refused(err) || !time.Now().Equal(asked) {
			t.Errorf("beyond what one may have waiting, after %v: %v", time.Since(asked), err)
		}
		time.Sleep(turnsWithin)
		for range turnsEach {
			if err := <-ends; !refused(err) {
				t.Fatalf("waited for too long: %v", err)
			}
		}
		leave()
		if turns.running != 0 || len(turns.by) != 0 || len(turns.queue) != 0 {
			t.Errorf("left behind: %+v", turns)
		}
	})
}
