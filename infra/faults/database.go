package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgcron"
	"roomcast/shared/outbox/outboxtest/pgnet"
)

func (s *stack) startPostgres(ctx context.Context, settings map[string]string) (err error) {
	opts := outboxtest.Options{Durable: true, Settings: settings}
	if s.verbose {
		opts.Log = func(line string) { fmt.Fprintln(s.stderr, "postgres:", line) }
	}
	if s.postgres, err = outboxtest.StartPostgres(ctx, opts); err != nil {
		return err
	}
	s.add(s.postgres.Stop)
	for _, sql := range []string{
		"create role " + chatOwner + " login createrole bypassrls password '" + webhookSecret + "'",
		"create database chat owner " + chatOwner,
	} {
		if err := outboxtest.Exec(ctx, s.postgres.URL("postgres"), sql); err != nil {
			return fmt.Errorf("chat's database: %w", err)
		}
	}
	s.ownerURL, err = s.urlAs(chatOwner)
	if err != nil {
		return err
	}
	if s.admin, err = pgxpool.New(ctx, s.postgres.URL("chat")); err != nil {
		return fmt.Errorf("database pool: %w", err)
	}
	s.add(func() error { s.admin.Close(); return nil })
	return nil
}

// urlAs is the chat's database as one of our roles sees it.
func (s *stack) urlAs(role string) (string, error) {
	u, err := url.Parse(s.postgres.URL("chat"))
	if err != nil {
		return "", errors.New("database URL cannot be parsed") // the error would repeat the password
	}
	u.User = url.UserPassword(role, webhookSecret)
	return u.String(), nil
}

// installChat makes the tables and installs Roomcast as a team would, without a
// superuser's rights.
func (s *stack) installChat(ctx context.Context, frontURL string) error {
	super := s.postgres.URL("chat")
	if err := errors.Join(pgnet.Install(ctx, super), pgcron.Install(ctx, super)); err != nil {
		return err
	}
	if err := outboxtest.Exec(ctx, super, `
		grant usage on schema net, cron to `+chatOwner+`;
		grant all on all tables in schema net, cron to `+chatOwner+`;
		grant all on all sequences in schema net, cron to `+chatOwner); err != nil {
		return fmt.Errorf("stand-ins: %w", err)
	}
	if err := outboxtest.Exec(ctx, s.ownerURL, `
		create table messages (
			id uuid primary key, room_id uuid not null, content text not null,
			created_at timestamptz not null default now())`); err != nil {
		return fmt.Errorf("chat's tables: %w", err)
	}
	if err := admin.Migrate(ctx, s.ownerURL); err != nil {
		return err
	}
	if err := outboxtest.Exec(ctx, s.ownerURL, fmt.Sprintf(`
		select roomcast.attach_messages('public.messages');
		select roomcast.configure(url => '%s/webhooks/supabase', secret => '%s');
		select cron.schedule('roomcast-sweep', '%d seconds', 'select roomcast.sweep()')`,
		frontURL, webhookSecret, s.timing.sweep/time.Second)); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return outboxtest.Exec(ctx, super, "create role "+relayLogin+" login password '"+webhookSecret+"' in role roomcast_relay")
}

// startStandIns starts what sends the wake-ups and what runs the sweep. They outlive
// ctx, and come back by themselves when Postgres does.
func (s *stack) startStandIns(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	sender, err := pgnet.Start(ctx, s.postgres.URL("chat"))
	if err != nil {
		return err
	}
	s.add(func() error { sender.Stop(); return nil })
	runner, err := pgcron.Start(ctx, s.postgres.URL("chat"))
	if err != nil {
		return err
	}
	s.add(func() error { runner.Stop(); return nil })
	return nil
}
