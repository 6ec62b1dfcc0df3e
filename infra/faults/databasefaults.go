package main

import (
	"context"
	"errors"
	"time"
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
