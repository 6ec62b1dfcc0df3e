package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// allFaults is the index, in the order of the table.
func allFaults() []fault {
	return []fault{
		{"nothing breaks", full, nothing},
		{"relay killed between claim and publish", both, killBeforePublish},
		{"relay killed between publish and ack", both, killBeforeAck},
		{"relays killed again and again", full, killAgainAndAgain},
		{"relay frozen past its lease, then back", both, freezePastLease},
		{"relay frozen while it reads a claim", both, freezeInClaim},
		{"Postgres restarted immediate, mid-drain", both, restartPostgres},
		{"database connections cut", both, cutConnections},
		{"bells lost while asleep", full, loseBells},
		{"clock 15 minutes off", full, clockOff},
		{"Pusher slow", full, pusherSlow},
		{"Pusher hangs", full, pusherHangs},
		{"Pusher resets connections", full, pusherResets},
		{"Pusher answers 200 with rubbish", full, pusherRubbish},
		{"Pusher storms with 429 and 5xx", both, pusherStorms},
		{"Pusher down for a while", full, pusherDown},
		{"poison messages", both, poison},
		{"one sick room", both, sickRoom},
		{"everything at once", full, everything},
		{"backlog of 100,000 rows", full, backlog(100_000)},
		{"backlog of 10,000 rows", short, backlog(10_000)},
	}
}

// nothing is the control: what the other lines are to be compared with.
func nothing(ctx context.Context, s *scene) error { return s.write(ctx, 2000) }

// killBeforePublish kills a relay that waits for Pusher, which has not looked at the
// request yet.
func killBeforePublish(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	victim, _, err := s.catchPublishing(ctx)
	if err != nil {
		return err
	}
	s.lift()
	return victim.kill()
}

// killBeforeAck kills a relay when Pusher has accepted its batch and has not yet
// answered.
func killBeforeAck(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	killed := make(chan error, 1)
	done := false
	s.ledger.onAccept(func(room string) {
		if done {
			return
		}
		victim, err := s.holder(ctx, room)
		if err == nil && victim == nil {
			return // sent by a relay that lost the room: catch another one
		}
		done = true
		if err == nil {
			s.lift()
			err = victim.kill()
		}
		killed <- err
	})
	select {
	case err := <-killed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killAgainAndAgain kills one relay or the other at any moment; like Fly, it starts
// the dead one anew.
func killAgainAndAgain(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	for range 10 {
		wait(ctx, time.Duration(s.rnd.Int64N(int64(time.Second))))
		r := s.relays[s.rnd.IntN(len(s.relays))]
		if err := r.kill(); err != nil {
			return err
		}
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// freezePastLease stops a relay in the middle of a publish until another one has
// sent more of its room; then both believe they hold it.
func freezePastLease(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	frozen, room, err := s.catchPublishing(ctx)
	if err != nil {
		return err
	}
	if err := frozen.freeze(); err != nil {
		return err
	}
	s.chat.stop()
	began := time.Now()
	err = s.until(ctx, "the other relay to take over", func() bool {
		holder, err := ask[string](ctx, s.stack, `
			select case when sent_seq = head_seq then 'all sent' else '' end from roomcast.rooms where room = $1`, room)
		return err == nil && holder == "all sent"
	})
	if err != nil {
		return err
	}
	took := time.Since(began)
	s.note("all was sent without it %.1f s after it froze", took.Seconds())
	if took > s.timing.heal() {
		s.ledger.complain("the other relay needed %s to take over", took.Round(time.Second))
	}
	s.chat.start(ctx, writers, s.rnd) // both are to have work when it is back
	if err := s.arrive(ctx, s.ledger.accepted()+100); err != nil {
		return err
	}
	if err := frozen.thaw(); err != nil {
		return err
	}
	return s.arrive(ctx, s.ledger.accepted()+300)
}

// freezeInClaim stops a relay when Postgres is about to answer its claim with more
// than the connection can hold. The claim's transaction then cannot end, and what it
// has locked is to be had back without the relay's help.
func freezeInClaim(ctx context.Context, s *scene) error {
	for _, r := range s.relays {
		if err := r.kill(); err != nil {
			return err
		}
	}
	if err := s.chat.fill(ctx, 8000, 3000, s.rnd); err != nil {
		return err
	}
	frozen, other := s.relays[0], s.relays[1]
	if err := frozen.start(ctx); err != nil {
		return err
	}
	const stuck = `select exists (select from pg_stat_activity where usename = $1 and query like '%claim%' and state = 'active' and wait_event = $2)`
	err := s.until(ctx, "a claim to be caught", func() bool {
		const busy = `select exists (select from pg_stat_activity where usename = $1 and query like '%claim%' and state = 'active')`
		if yes, err := ask[bool](ctx, s.stack, busy, relayLogin); err != nil || !yes {
			return false
		}
		if frozen.freeze() != nil {
			return false
		}
		within, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		caught := pollUntil(within, func() bool {
			yes, err := ask[bool](ctx, s.stack, stuck, relayLogin, "ClientWrite")
			return err == nil && yes
		})
		if !caught {
			_ = frozen.thaw() // too early or too late
		}
		return caught
	})
	if err != nil {
		return err
	}
	s.lift()
	return other.start(ctx)
}

// restartPostgres ends Postgres without flushing anything, as a crash does, while
// rows are under way; unlogged tables, pg_net's queue among them, come back empty.
func restartPostgres(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	for range s.times(3) {
		if err := s.arrive(ctx, s.ledger.accepted()+200); err != nil {
			return err
		}
		if err := s.postgres.Crash(); err != nil {
			return err
		}
		if err := s.postgres.Restart(ctx); err != nil {
			return err
		}
	}
	return nil
}

// cutConnections terminates the sessions of relays and writers, again and again.
func cutConnections(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	for range s.times(15) {
		wait(ctx, time.Duration(s.rnd.Int64N(int64(400*time.Millisecond))))
		_, err := ask[int](ctx, s.stack, `
			select count(pg_terminate_backend(pid)) from pg_stat_activity where usename in ($1, $2)`, chatOwner, relayLogin)
		if err != nil {
			return err
		}
	}
	return nil
}

// loseBells has nobody hear the bells of messages written while all sleep, so that
// only the sweep is left; by then the front hears again, and nobody writes.
func loseBells(ctx context.Context, s *scene) error {
	if err := s.until(ctx, "the relays to sleep", func() bool { return s.asleep(ctx) }); err != nil {
		return err
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	s.front.deaf.Store(true)
	s.chat.start(ctx, writers, s.rnd)
	err := s.until(ctx, "a bell to be lost", func() bool { return s.front.lost.Load() > 0 })
	s.chat.stop()
	if err != nil {
		return err
	}
	err = s.until(ctx, "the last bell to be lost", func() bool {
		ringing, err := ask[bool](ctx, s.stack, `select exists (select from net.http_request_queue)`)
		return err == nil && !ringing
	})
	s.front.deaf.Store(false)
	return err
}

// quiet is how long no relay has asked anything when all of them sleep: awake, they
// ask many times a second.
const quiet = 1500 * time.Millisecond

func (s *scene) asleep(ctx context.Context) bool {
	yes, err := ask[bool](ctx, s.stack, `
		select not roomcast.is_awake() and not exists (
			select from pg_stat_activity where usename = $1 and state_change > clock_timestamp() - $2::interval)`, relayLogin, quiet)
	return err == nil && yes
}

// rest watches over a sweep and a half that nothing happens where nothing waits.
func (s *scene) rest(ctx context.Context) error {
	before := s.front.heard.Load()
	for end := time.Now().Add(s.timing.sweep * 3 / 2); time.Now().Before(end); wait(ctx, quiet/2) {
		if !s.asleep(ctx) {
			return errors.New("a relay asked the database though nothing waited")
		}
	}
	if s.front.heard.Load() > before {
		return errors.New("a bell rang though nothing waited")
	}
	return nil
}

// clockOff moves Pusher's clock, which is the same to both as moving the relay's: its
// signatures are refused with 401, more than ten minutes old.
func clockOff(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	s.skew.Store(int64(15 * time.Minute))
	wait(ctx, s.some(3*time.Second))
	s.skew.Store(0)
	return nil
}

// everything brings about one thing after another without waiting for the last to
// heal.
func everything(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	pieces := chaos(s)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if err := pieces[s.rnd.IntN(len(pieces))](ctx); err != nil {
			return err
		}
		wait(ctx, time.Duration(s.rnd.Int64N(int64(time.Second))))
	}
	s.chat.stop()
	return s.repair(ctx)
}

// backlog has rows pile up while nobody sends, and watches the memory of the relays
// that then do.
func backlog(rows int) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		for _, r := range s.relays {
			if err := r.kill(); err != nil {
				return err
			}
		}
		if err := s.chat.fill(ctx, rows, 200, s.rnd); err != nil {
			return err
		}
		for _, r := range s.relays {
			if err := r.start(ctx); err != nil {
				return err
			}
		}
		return s.watchMemory(ctx, rows)
	}
}

// memoryLimit is what a relay may take, however much waits: Fly's smallest machine
// has 256 MB.
const memoryLimit = 160 << 20

// watchMemory samples the relays until the backlog is gone.
func (s *scene) watchMemory(ctx context.Context, rows int) error {
	began := time.Now()
	var early, late int64 // peaks in the first and the last half
	err := s.until(ctx, "the backlog to drain", func() bool {
		done := s.ledger.accepted()
		for _, r := range s.relays {
			if done < rows/2 {
				early = max(early, r.memory())
			} else {
				late = max(late, r.memory())
			}
		}
		return done >= rows
	})
	if err != nil {
		return err
	}
	rate := float64(rows) / time.Since(began).Seconds()
	s.note("%.0f rows/s; largest relay: %d MB in the first half, %d MB in the second", rate, early>>20, late>>20)
	if max(early, late) > memoryLimit {
		return fmt.Errorf("a relay took %d MB", max(early, late)>>20)
	}
	return nil
}
