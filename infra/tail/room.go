// Package tail shows a room's events in a terminal, each once and in order. It is a
// client of Roomcast written from infra/PROTOCOL.md alone: what the page says is enough
// for one in any language. The cases in testdata/protocol are its tests.
package tail

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"roomcast/shared/backoff"
)

const (
	gapWait  = 200 * time.Millisecond // a gap is fetched within
	quietAsk = 20 * time.Second       // after a burst: a lost last event leaves no gap
	maxHeld  = 10_000                 // beyond it held events are fetched again from the history
	pageSize = 500
)

// Room puts a room's events in order. Its methods are for one goroutine.
type Room struct {
	ID   string // as the history names it
	User string // whose own user-left is asked about; empty for none
	Ask  func(context.Context, Query) (Page, int, error)
	Show func(Event)

	Pushed <-chan Event // from Pusher; an Event named "subscribed" is a subscription success

	epoch  string
	next   int64 // 0: not known yet
	held   map[int64]Event
	shown  map[int64]time.Time // times of the last numbers shown
	askAt  time.Time           // zero: nothing to ask for
	denied bool
}

// Run shows events until ctx ends or access is denied.
func (r *Room) Run(ctx context.Context) {
	r.held, r.shown = map[int64]Event{}, map[int64]time.Time{}
	for ctx.Err() == nil && !r.denied {
		var due <-chan time.Time
		if !r.askAt.IsZero() {
			due = time.After(time.Until(r.askAt))
		}
		select {
		case <-ctx.Done():
		case e := <-r.Pushed:
			r.take(ctx, e)
		case <-due:
			r.askAt = time.Time{}
			r.catchUp(ctx)
		}
	}
}

func (r *Room) take(ctx context.Context, e Event) {
	switch {
	case e.Name == "subscribed" && r.next == 0:
		r.locate(ctx, "")
	case e.Name == "subscribed":
		r.catchUp(ctx)
	case !e.read():
	case r.next == 0:
		r.hold(e)
	case r.isStrange(e):
		r.askWithin(gapWait)
	case e.Meta.Seq < r.next:
		if was, known := r.shown[e.Meta.Seq]; known && e.Meta.At.After(was) { // given again after a restore
			r.held = map[int64]Event{}
			r.hold(e)
			r.locate(ctx, "repeat")
		}
	default:
		r.hold(e)
		r.showHeld(ctx)
	}
}

// isStrange reports whether an event is of another epoch. A room that never had an event
// takes the epoch of its first.
func (r *Room) isStrange(e Event) bool {
	if r.epoch == "" {
		r.epoch = e.Meta.Epoch
	}
	return e.Meta.Epoch != r.epoch
}

func (r *Room) hold(e Event) {
	if _, repeat := r.held[e.Meta.Seq]; !repeat && len(r.held) < maxHeld {
		r.held[e.Meta.Seq] = e
	}
}

// askWithin asks the history at a random moment before d has passed; a question that is
// due sooner stays.
func (r *Room) askWithin(d time.Duration) {
	if at := time.Now().Add(d/4 + rand.N(3*d/4)); r.askAt.IsZero() || at.Before(r.askAt) {
		r.askAt = at
	}
}

// showHeld shows what is next, and fetches what is missing before the rest. A stub holds
// its place until it is fetched.
func (r *Room) showHeld(ctx context.Context) {
	for {
		e, there := r.held[r.next]
		if !there || e.Meta.Stub {
			break
		}
		r.show(ctx, e)
	}
	if len(r.held) > 0 {
		r.askWithin(gapWait)
	} else if r.askAt.IsZero() || time.Until(r.askAt) < gapWait {
		r.askAt = time.Now().Add(quietAsk)
	}
}

// show hands on the event whose turn it is.
func (r *Room) show(ctx context.Context, e Event) {
	delete(r.held, e.Meta.Seq)
	delete(r.shown, e.Meta.Seq-1000)
	r.shown[e.Meta.Seq], r.next = e.Meta.At, e.Meta.Seq+1
	if e.Name == "bulk-change" {
		r.Show(Event{Name: "reset", Reason: "bulk"})
		return
	}
	r.Show(e)
	var who struct {
		UserID string `json:"user_id"`
	}
	if e.Name == "user-left" && r.User != "" && json.Unmarshal(e.Data, &who) == nil && who.UserID == r.User {
		r.catchUp(ctx)
	}
}

// locate asks where the room is, and goes on there: behind its head, or at the least
// number that was held by then.
func (r *Room) locate(ctx context.Context, reason string) {
	page, ok := r.ask(ctx, Query{Where: true})
	if !ok {
		return
	}
	for drained := false; !drained; { // what was pushed before the answer came
		select {
		case e := <-r.Pushed:
			if e.read() {
				r.hold(e)
			}
		default:
			drained = true
		}
	}
	if reason != "" {
		r.Show(Event{Name: "reset", Reason: reason})
		r.shown = map[int64]time.Time{}
	}
	r.epoch, r.next = page.Epoch, page.Head+1
	strange := false
	for seq, e := range r.held {
		if r.isStrange(e) {
			strange = true
			delete(r.held, seq)
		} else {
			r.next = min(r.next, seq)
		}
	}
	r.showHeld(ctx)
	if strange { // it cannot be placed: the history knows
		r.askWithin(gapWait)
	}
}

// catchUp fetches what follows the last number shown.
func (r *Room) catchUp(ctx context.Context) {
	for !r.denied {
		page, ok := r.ask(ctx, Query{After: r.next - 1, Epoch: r.epoch})
		if !ok {
			return
		}
		if page.Reset {
			r.restart(page)
			break
		}
		r.showPage(ctx, page)
		if !page.More {
			break
		}
	}
	r.showHeld(ctx)
}

// restart goes on behind the head: what lies before it cannot be had.
func (r *Room) restart(page Page) {
	reason := "window"
	if page.Epoch != r.epoch {
		reason = "epoch"
	}
	r.Show(Event{Name: "reset", Reason: reason})
	r.epoch, r.next, r.shown = page.Epoch, page.Head+1, map[int64]time.Time{}
	r.forgetHeld()
}

func (r *Room) showPage(ctx context.Context, page Page) {
	for _, e := range page.Events {
		if e.read() && e.Meta.Seq >= r.next {
			r.show(ctx, e)
		}
	}
	r.next = max(r.next, page.Last+1) // numbers without an event are void
	r.forgetHeld()
	if page.Poll > 0 {
		r.askAt = time.Now().Add(time.Duration(page.Poll * float64(time.Second)))
	}
}

func (r *Room) forgetHeld() {
	for seq, e := range r.held {
		if seq < r.next || e.Meta.Epoch != r.epoch {
			delete(r.held, seq)
		}
	}
}

// ask asks until there is an answer that makes sense; false when there will be none.
func (r *Room) ask(ctx context.Context, q Query) (Page, bool) {
	for wait := 500 * time.Millisecond; ; wait = min(2*wait, time.Minute) {
		page, status, err := r.Ask(ctx, q)
		switch {
		case ctx.Err() != nil:
			return Page{}, false
		case err == nil && slices.Contains([]int{http.StatusForbidden, http.StatusNotFound, http.StatusBadRequest}, status):
			r.denied = true
			r.Show(Event{Name: "denied"})
			return Page{}, false
		case err == nil && status == http.StatusOK && page.makesSense(r.ID, q):
			return page, true
		}
		if !backoff.Sleep(ctx, wait/2+rand.N(wait)) {
			return Page{}, false
		}
	}
}
