package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/infra/child"
	"roomcast/shared/outbox"
)

var errNothingAttached = errors.New("nothing is attached in that database: `task migrate` installs the schema, " +
	"`select roomcast.attach_messages('public.messages', …)` attaches a table; or -demo makes a chat where there is none")

// given runs the function on a database of somebody's own, with the tables that are
// attached there, and serves a page that shows them. It makes nothing there and leaves
// nothing: what wakes the function is the stack itself, not the database.
func (s *stack) given(ctx context.Context, root, databaseURL string, env *environment, front, page net.Listener) error {
	env.databaseURL, env.relayURL = databaseURL, databaseURL
	pool, err := readOnly(ctx, databaseURL)
	if err != nil {
		return err
	}
	s.add("page's connections", func() error { pool.Close(); return nil })
	chat, err := readAttached(ctx, pool)
	if err != nil {
		return fmt.Errorf("-postgres: %w", err)
	}
	if err := s.borrow(ctx, databaseURL, env.app.id); err != nil {
		return err
	}
	room, people := chat.people()
	if err := env.admit(room, people); err != nil {
		return err
	}
	if err := s.function(ctx, env, front); err != nil {
		return err
	}
	if err := s.wakeIfWaiting(databaseURL, env); err != nil {
		return err
	}
	return s.attachedPage(ctx, root, pool, env, page)
}

// readOnly opens connections that cannot write, whatever is asked of them.
func readOnly(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("-postgres: %w", outbox.ScrubURL(err))
	}
	config.MaxConns = 2
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // it may be behind a pooler
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "set default_transaction_read_only = on")
		return err
	}
	return pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
}

// borrow lets our function use an outbox: one that belongs to another Pusher app is
// refused, since what is sent here is not sent there; one that belongs to none is given
// back as it was.
func (s *stack) borrow(ctx context.Context, databaseURL, app string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var bound *string
	err = conn.QueryRow(ctx, `select s.pusher_app from roomcast.settings s`, pgx.QueryExecModeExec).Scan(&bound)
	switch {
	case err != nil:
		return fmt.Errorf("settings: %w", err)
	case bound != nil && *bound != app:
		return fmt.Errorf("the outbox in that database belongs to the Pusher app %q: its events would be lost there; use a copy, or -pusher with that app", *bound)
	case bound == nil:
		s.add("outbox", func() error {
			return execute(context.WithoutCancel(ctx), databaseURL, `update roomcast.settings set pusher_app = null where pusher_app = $1`, app)
		})
	}
	return nil
}

// wakeupEvery is how often the stack looks for rows that wait while the function sleeps.
const wakeupEvery = 500 * time.Millisecond

// wakeIfWaiting does what pg_net's webhook and pg_cron's sweep do, from outside the
// database: its own may lead to somebody else's function.
func (s *stack) wakeIfWaiting(databaseURL string, env *environment) error {
	db, err := outbox.Open(databaseURL, 1)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(wakeupEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if waiting, err := db.HasWaiting(ctx); err == nil && waiting {
				_ = env.wake(ctx) // the next tick tries again
			}
		}
	}()
	s.add("wake-up", func() error { cancel(); <-done; db.Close(); return nil })
	return nil
}

// restoreWakeup puts the wake-up's address and secret back as they are now, when the
// stack stops: ours lead nowhere then.
func (s *stack) restoreWakeup(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var address, secret *string
	var isHome bool // else it came with a copy, and is silent until configured
	err = conn.QueryRow(ctx, `select s.url, roomcast.wakeup_secret(), s.home is not distinct from roomcast.home() from roomcast.settings s`).
		Scan(&address, &secret, &isHome)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	s.add("wake-up's address", func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), child.KillTimeout)
		defer cancel()
		if address == nil || secret == nil || !isHome {
			return execute(ctx, databaseURL, `update roomcast.settings set url = null`)
		}
		return execute(ctx, databaseURL, `select roomcast.configure(url => $1, secret => $2)`, *address, *secret)
	})
	return nil
}

// refuseOthers reports a table that is neither the demo's own nor Supabase's: where
// there is one, no demo is made.
func refuseOthers(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var other string
	err = conn.QueryRow(ctx, `
		select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'p', 'f') and n.nspname !~ '^pg_' and n.nspname not in (
			'information_schema', 'roomcast', 'auth', 'cron', 'extensions', 'graphql', 'graphql_public', 'net', 'pgbouncer', 'pgsodium',
			'realtime', '_realtime', 'storage', 'supabase_functions', 'supabase_migrations', 'vault')
		and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
		and obj_description(c.oid, 'pg_class') is distinct from $1
		order by 1 limit 1`, demoComment).Scan(&other)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for tables: %w", err)
	}
	return fmt.Errorf("-demo: the database holds %s, which is not the demo's; give an empty one, or leave -demo out", other)
}

// demoComment marks the tables that chat.sql makes.
const demoComment = "Roomcast's demo."
