package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"roomcast/infra/load/peers/least"
	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgnet"
)

//go:embed chat.sql
var chatSQL string

const (
	// webhookSecret authorizes the database's wake-ups.
	webhookSecret = "load-webhook-secret-of-32-characters"
	// relayRole may call the relay's functions and nothing else, as in production.
	relayRole = "load_relay"
)

// database is one scenario's chat.
type database struct {
	owner string // URL of the superuser
	relay string // URL of the relay's role
	pool  *pgxpool.Pool
}

// makeTemplate installs a chat and Roomcast once; scenarios get copies.
func (l *lab) makeTemplate(ctx context.Context) {
	chat := l.postgres.URL("chat")
	check(outboxtest.Exec(ctx, l.postgres.URL("postgres"), `create database chat`))
	check(pgnet.Install(ctx, chat))
	check(outboxtest.Exec(ctx, chat, chatSQL))
	check(admin.Migrate(ctx, chat))
	check(outboxtest.Exec(ctx, chat, `
		select roomcast.attach_messages('public.messages', room_column => 'room_id', columns => '{id,room_id,user_id,content,created_at}');
		select roomcast.attach_members('public.room_participants', room_column => 'room_id', user_column => 'user_id');
		update roomcast.settings set bulk = 1000000000; -- rows are written by the ten thousand, and each is to be an event
		create role `+relayRole+` login password 'load' in role roomcast_relay;`))
	// The peer uses the same role, so that its backends are found the same way.
	check(outboxtest.Exec(ctx, chat, least.Table+`; grant all on public.least_outbox to `+relayRole))
}

// database makes a copy of a template. The caller drops it.
func (l *lab) database(ctx context.Context, template string) *database {
	l.databases++
	name := fmt.Sprintf("load_%d", l.databases)
	check(outboxtest.Exec(ctx, l.postgres.URL("postgres"), "create database "+name+" template "+template))
	owner := l.postgres.URL(name)
	return &database{owner: owner, relay: asRelay(owner), pool: must(pgxpool.New(ctx, owner))}
}

// asRelay is a database's URL for the relay's role.
func asRelay(owner string) string {
	u, err := url.Parse(owner)
	if err != nil {
		check(errors.New("database URL cannot be parsed")) // the error would repeat the password
	}
	u.User = url.UserPassword(relayRole, "load")
	return u.String()
}

// drop ends what is connected and frees the disk.
func (l *lab) drop(ctx context.Context, db *database) error {
	name := db.pool.Config().ConnConfig.Database
	db.pool.Close()
	if err := l.stopPrograms(); err != nil {
		return err
	}
	return outboxtest.Exec(ctx, l.postgres.URL("postgres"), "drop database "+name+" with (force)")
}

// with runs do on a fresh copy of the chat.
func (l *lab) with(ctx context.Context, do func(*database)) {
	db := l.database(ctx, "chat")
	err := attempt(func() { do(db) })
	check(errors.Join(err, l.drop(context.WithoutCancel(ctx), db)))
}

// connect is a connection of the owner's, beside the pool. The caller closes it.
func (db *database) connect(ctx context.Context) *pgx.Conn { return must(pgx.Connect(ctx, db.owner)) }

// set is for connections that begin from now on: "parameter = value".
func (db *database) set(ctx context.Context, setting string) {
	must(db.pool.Exec(ctx, "alter database "+db.pool.Config().ConnConfig.Database+" set "+setting))
}

const fillSQL = `insert into public.messages (room_id, user_id, content)
	select public.room(i % $3), gen_random_uuid(), 'a message of usual length, more or less, number ' || i
	  from generate_series($1::int, $2::int) i`

// fill writes messages through the triggers, spread over rooms, and brings the
// database to rest: what was written is on disk, and its statistics are known.
func (db *database) fill(ctx context.Context, rows, rooms int) {
	db.write(ctx, rows, rooms)
	db.quiesce(ctx)
}

// write is fill without the rest.
func (db *database) write(ctx context.Context, rows, rooms int) {
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range [][2]int{{1, rows / 2}, {rows/2 + 1, rows}} {
		g.Go(func() error {
			_, err := db.pool.Exec(ctx, fillSQL, part[0], part[1], rooms)
			return err
		})
	}
	check(g.Wait())
}

// quiesce: nothing that went before is to be paid for by what is measured next.
func (db *database) quiesce(ctx context.Context) {
	for _, sql := range []string{"vacuum (analyze)", "checkpoint"} {
		must(db.pool.Exec(ctx, sql))
	}
}

// relayBackends are the processes that serve the relay.
func (db *database) relayBackends(ctx context.Context) []int {
	rows := must(db.pool.Query(ctx, `select pid from pg_stat_activity where usename = $1 and datname = current_database()`, relayRole))
	return must(pgx.CollectRows(rows, pgx.RowTo[int]))
}
