package main

import (
	"context"
	"errors"
	"time"

	"roomcast/shared/backoff"
)

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
		backoff.Sleep(ctx, time.Duration(s.rnd.Int64N(int64(400*time.Millisecond))))
		_, err := ask[int](ctx, s.stack, `
			select count(pg_terminate_backend(pid)) from pg_stat_activity where usename in ($1, $2)`, chatOwner, relayLogin)
		if err != nil {
			return err
		}
	}
	return nil
}

// loseWakeups loses the wake-ups of messages written while all relays sleep, so that only
// the sweep is left. By then the front passes wake-ups on again, and nobody writes.
func loseWakeups(ctx context.Context, s *scene) error {
	if err := s.until(ctx, "the relays to sleep", func() bool { return s.asleep(ctx) }); err != nil {
		return err
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	s.front.deaf.Store(true)
	s.chat.start(ctx, writers, s.rnd)
	err := s.until(ctx, "a wake-up to be lost", func() bool { return s.front.lost.Load() > 0 })
	s.chat.stop()
	if err != nil {
		return err
	}
	err = s.until(ctx, "the last wake-up to be lost", func() bool {
		queued, err := ask[bool](ctx, s.stack, `select exists (select from net.http_request_queue)`)
		return err == nil && !queued
	})
	s.front.deaf.Store(false)
	return err
}

// asleepAfter is how long no relay has asked anything when all of them sleep: awake, they
// ask many times a second.
const asleepAfter = 1500 * time.Millisecond

func (s *scene) asleep(ctx context.Context) bool {
	yes, err := ask[bool](ctx, s.stack, `
		select not roomcast.is_awake() and not exists (
			select from pg_stat_activity where usename = $1 and state_change > clock_timestamp() - $2::interval)`, relayLogin, asleepAfter)
	return err == nil && yes
}

// rest watches over a sweep and a half that nothing happens where nothing waits.
func (s *scene) rest(ctx context.Context) error {
	before := s.front.received.Load()
	for end := time.Now().Add(s.timing.sweep * 3 / 2); time.Now().Before(end); backoff.Sleep(ctx, asleepAfter/2) {
		if !s.asleep(ctx) {
			return errors.New("a relay asked the database though nothing waited")
		}
	}
	if s.front.received.Load() > before {
		return errors.New("a wake-up was sent though nothing waited")
	}
	return nil
}
