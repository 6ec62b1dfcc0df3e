package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgcron"
	"roomcast/shared/outbox/outboxtest/pgnet"
	"roomcast/shared/outbox/outboxtest/supabase"
)

//go:embed chat.sql
var chatSQL string

// database is where the chat lives, as three kinds of user see it.
type database struct {
	admin  string             // may install what stands in for extensions
	owner  string             // owns the chat's tables; no superuser, as on Supabase
	server *outboxtest.Server // nil: not ours
	relay  string             // may call the relay's functions; empty until roomcast has made the role
}

// database uses the one it is given, or starts a cluster, and puts the chat in it.
func (s *stack) database(ctx context.Context, given string) (database, error) {
	db := database{admin: given, owner: given, relay: given}
	var err error
	if given == "" {
		db, err = s.cluster(ctx)
	} else {
		err = refuseOthers(ctx, given)
	}
	if err != nil {
		return database{}, err
	}
	if err := s.step("install stand-ins", func() error { return s.standIns(ctx, db.admin) }); err != nil {
		return database{}, err
	}
	if db.owner != db.admin {
		if err := execute(ctx, db.admin, `
			grant anon, authenticated, service_role to chat_owner;
			grant all on all tables in schema auth to chat_owner`); err != nil {
			return database{}, fmt.Errorf("chat's owner: %w", err)
		}
	}
	return db, s.step("create the chat", func() error { return execute(ctx, db.owner, chatSQL) })
}

// cluster starts Postgres with a database owned by a role that has what the
// role postgres has on Supabase: it creates roles and bypasses row level
// security, and is no superuser.
func (s *stack) cluster(ctx context.Context) (database, error) {
	var server *outboxtest.Server
	err := s.step("start Postgres", func() error {
		bin, err := s.serverPrograms(ctx)
		if err != nil {
			return err
		}
		server, err = outboxtest.StartPostgres(ctx, outboxtest.Options{Bin: bin, Durable: true,
			Settings: map[string]string{"wal_level": "logical"}}) // for Realtime
		return err
	})
	if err != nil {
		return database{}, err
	}
	stopping := make(chan struct{})
	s.add("Postgres", func() error { close(stopping); return server.Stop() })
	go func() {
		select {
		case <-server.Done():
			s.fail("Postgres", errors.New("its server process ended"))
		case <-stopping:
		}
	}()
	password := secret()
	for _, sql := range []string{
		"create role chat_owner login createrole bypassrls password '" + password + "'",
		"create database chat owner chat_owner",
	} {
		if err := execute(ctx, server.URL("postgres"), sql); err != nil {
			return database{}, fmt.Errorf("chat's database: %w", err)
		}
	}
	admin := server.URL("chat")
	owner, err := as(admin, "chat_owner", password)
	return database{admin: admin, owner: owner, server: server}, err
}

// pooler starts PgBouncer before our own Postgres and returns the URL through it.
func (s *stack) pooler(ctx context.Context, db database, databaseURL string) (string, error) {
	p, err := outboxtest.StartPooler(ctx, db.server)
	if err != nil {
		return "", err
	}
	s.add("PgBouncer", p.Stop)
	return p.URL(databaseURL)
}

// standIns installs and runs what a Supabase database has and this one lacks.
// Their runners live until the stack stops them, so they do not take ctx.
func (s *stack) standIns(ctx context.Context, admin string) error {
	background := context.WithoutCancel(ctx)
	for _, it := range []struct {
		name      string
		installed func(context.Context, string) (bool, error)
		install   func(context.Context, string) error
		start     func() (stop func(), err error)
	}{
		{"supabase", supabase.Installed, supabase.Install, nil},
		{"pg_net", pgnet.Installed, pgnet.Install, func() (func(), error) {
			sender, err := pgnet.Start(background, admin)
			if err != nil {
				return nil, err
			}
			return sender.Stop, nil
		}},
		{"pg_cron", pgcron.Installed, pgcron.Install, func() (func(), error) {
			runner, err := pgcron.Start(background, admin)
			if err != nil {
				return nil, err
			}
			return runner.Stop, nil
		}},
	} {
		found, err := it.installed(ctx, admin)
		if err != nil {
			return err
		}
		if found {
			continue
		}
		if err := it.install(ctx, admin); err != nil {
			return err
		}
		if it.start == nil {
			continue
		}
		stop, err := it.start()
		if err != nil {
			return err
		}
		s.add(it.name, func() error { stop(); return nil })
	}
	return nil
}

// roomcast installs the outbox the way the README tells a team to, as the owner
// of the chat's tables, and makes a login for the function that can do nothing else.
func (s *stack) roomcast(ctx context.Context, db database, env *environment) error {
	return s.step("install roomcast", func() error {
		if err := admin.Migrate(ctx, db.owner); err != nil {
			return err
		}
		if db.server == nil {
			if err := errors.Join(s.borrow(ctx, db.owner, env.app.id), s.restoreWakeup(ctx, db.owner)); err != nil {
				return err
			}
		}
		err := execute(ctx, db.owner, "select roomcast.configure(url => $1, secret => $2)",
			env.roomcastURL+"/webhooks/supabase", env.webhookSecret)
		if err != nil {
			return err
		}
		err = execute(ctx, db.owner, `
			select roomcast.attach_messages('public.messages', room_column => 'room_id',
				columns => '{id,room_id,user_id,content,created_at}');
			select roomcast.attach_members('public.room_participants', room_column => 'room_id',
				user_column => 'user_id');
			select roomcast.attach('public.reactions', name => 'reaction', columns => '{id,message_id,user_id,emoji}',
				room => 'select m.room_id from public.messages m where m.id = r.message_id')`)
		if err != nil || db.relay != "" {
			return err
		}
		password := secret()
		if err := execute(ctx, db.admin, "create role chat_relay login password '"+password+"' in role roomcast_relay"); err != nil {
			return err
		}
		env.relayURL, err = as(db.admin, "chat_relay", password)
		return err
	})
}

// as returns the URL with another user.
func as(databaseURL, user, password string) (string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "", errors.New("database URL cannot be parsed") // the error would repeat the password
	}
	u.User = url.UserPassword(user, password)
	return u.String(), nil
}

// execute runs SQL on a connection of its own; without arguments it may be
// several statements, which are then one transaction.
func execute(ctx context.Context, databaseURL, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql, args...)
	return err
}
