package main

import (
	"context"
	"time"

	"roomcast/shared/backoff"
	"roomcast/shared/pusher/pushertest"
)

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
		backoff.Sleep(ctx, time.Duration(s.rnd.Int64N(int64(time.Second))))
	}
	s.chat.stop()
	return s.repair(ctx)
}

// chaos are the pieces of which everything at once is made.
func chaos(s *scene) []func(context.Context) error {
	inject := func(f pushertest.Fault) func(context.Context) error {
		return func(context.Context) error {
			f.Path, f.Times = publishing, 1+s.rnd.IntN(20)
			s.pusher.Inject(f)
			return nil
		}
	}
	anyRelay := func(do func(context.Context, *relay) error) func(context.Context) error {
		return func(ctx context.Context) error { return do(ctx, s.relays[s.rnd.IntN(len(s.relays))]) }
	}
	return []func(context.Context) error{
		inject(pushertest.Fault{Reset: true}), inject(pushertest.Fault{ResetAfterAccept: true}),
		inject(pushertest.Fault{Delay: time.Second}), inject(pushertest.Fault{Status: 503}),
		inject(pushertest.Fault{Status: 401}),
		anyRelay(func(_ context.Context, r *relay) error { return r.kill() }),
		anyRelay(func(ctx context.Context, r *relay) error { return r.start(ctx) }),
		anyRelay(func(ctx context.Context, r *relay) error { return r.start(ctx) }),
		anyRelay(func(ctx context.Context, r *relay) error {
			if err := r.freeze(); err != nil {
				return err
			}
			backoff.Sleep(ctx, time.Duration(s.rnd.Int64N(int64(5*time.Second))))
			return r.thaw()
		}),
		func(ctx context.Context) error {
			_, err := ask[int](ctx, s.stack, `
				select count(pg_terminate_backend(pid)) from pg_stat_activity where usename in ($1, $2)`, chatOwner, relayLogin)
			return err
		},
		func(ctx context.Context) error {
			if err := s.postgres.Crash(); err != nil {
				return err
			}
			return s.postgres.Restart(ctx)
		},
		func(ctx context.Context) error {
			s.pusher.Stop()
			backoff.Sleep(ctx, time.Duration(s.rnd.Int64N(int64(2*time.Second))))
			return s.pusher.Start()
		},
	}
}
