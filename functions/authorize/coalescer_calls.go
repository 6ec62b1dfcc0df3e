package authorize

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// work makes call after call until nothing is pending. Requests that are ready to run
// go before each of them, into the same call: in a storm that saves many calls with one
// question, and where there are none it costs nothing.
func (c *Coalescer) work() {
	for {
		runtime.Gosched()
		batch := c.next()
		if len(batch) == 0 {
			return
		}
		c.call(batch)
	}
}

// call asks and hands out the answers. A panic below is an error like another: no
// request's goroutine is there to catch it, and others wait.
func (c *Coalescer) call(batch []*flight) {
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			for _, f := range batch {
				f.ok, f.err = false, fmt.Errorf("access: panic: %v", p)
			}
		}
		c.answerAll(batch, began)
	}()
	c.ask(batch)
}

// next takes the questions of the users whose turn it is, a part of a call of each. What
// nobody waits for any more is dropped: a database that is behind would only fall further
// behind.
func (c *Coalescer) next() []*flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := 1
	if c.batch != nil {
		size = c.cfg.Batch
	}
	batch := make([]*flight, 0, min(size, c.pending.size))
	now := time.Now()
	for len(batch) < size && c.pending.size > 0 {
		for _, f := range c.pending.next(min(max(1, size/turnsInCall), size-len(batch))) {
			if now.Before(f.until) {
				batch = append(batch, f)
				continue
			}
			delete(c.asking, f.question)
			f.err = ErrBusy
			close(f.done)
		}
	}
	if len(batch) == 0 {
		c.calls--
	}
	return batch
}

// turnsInCall is how many users a call has questions of at least, where as many wait. A page
// mostly has no more rooms than its part.
const turnsInCall = 4

// ask fills in the answers. Those that are together in a call are on their own when
// it fails.
func (c *Coalescer) ask(batch []*flight) {
	if len(batch) > 1 {
		ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Limit)
		defer cancel()
		rooms, users, claims := make([]string, len(batch)), make([]string, len(batch)), make([][]byte, len(batch))
		for i, f := range batch {
			rooms[i], users[i], claims[i] = f.room, f.userID, f.claims
		}
		if answers, err := c.batch.CanReadAll(ctx, rooms, users, claims); err == nil && len(answers) == len(batch) {
			for i, f := range batch {
				if answers[i] == nil {
					c.askOne(f) // for its error
				} else {
					f.ok = *answers[i]
				}
			}
			return
		}
	}
	for _, f := range batch {
		c.askOne(f)
	}
}

func (c *Coalescer) askOne(f *flight) {
	ctx, cancel := context.WithDeadline(f.ctx, f.until)
	defer cancel()
	f.ok, f.err = c.cfg.Access.CanRead(ctx, f.room, f.userID, f.claims)
}

// answerAll hands the answers out and remembers what was asked for at a time.
func (c *Coalescer) answerAll(batch []*flight, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range batch {
		delete(c.asking, f.question)
		if f.ok && f.err == nil {
			c.memory.keep(f.question, f.userID, asked)
		}
		close(f.done)
	}
}
