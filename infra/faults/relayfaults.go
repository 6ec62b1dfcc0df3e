package main

import (
	"context"
	"time"

	"roomcast/shared/backoff"
)

// killBeforePublish kills a relay that waits for Pusher, which has not read the request
// yet.
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
// the dead one again.
func killAgainAndAgain(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	for range 10 {
		backoff.Sleep(ctx, time.Duration(s.rnd.Int64N(int64(time.Second))))
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
		sent, err := ask[bool](ctx, s.stack, `select sent_seq = head_seq from roomcast.rooms where room = $1`, room)
		return err == nil && sent
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
	err := s.until(ctx, "a claim to be caught", func() bool { return s.claiming(ctx, "") && s.freezeClaiming(ctx, frozen) })
	if err != nil {
		return err
	}
	s.lift()
	return other.start(ctx)
}

// freezeClaiming freezes a relay that has just asked for rows, and reports whether
// Postgres is stuck with the answer. If it is not, it was too early or too late.
func (s *scene) freezeClaiming(ctx context.Context, r *relay) bool {
	if err := r.freeze(); err != nil {
		return false
	}
	within, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if pollUntil(within, func() bool { return s.claiming(ctx, "ClientWrite") }) {
		return true
	}
	_ = r.thaw()
	return false
}

// claiming reports whether a relay's claim is under way, and waits for this event if
// one is named.
func (s *scene) claiming(ctx context.Context, event string) bool {
	yes, err := ask[bool](ctx, s.stack, `
		select exists (select from pg_stat_activity
		                where usename = $1 and query like '%claim%' and state = 'active' and ($2 = '' or wait_event = $2))`, relayLogin, event)
	return err == nil && yes
}
