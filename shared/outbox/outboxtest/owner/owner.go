// Package owner is the owner of a chat's tables on a bad day: between writes of every kind
// it renames, retypes, drops, adds, partitions, truncates and sets what can be set, from
// several sessions. Each statement is run twice, on tables that are relayed and on twins
// that are not, and must end alike; what was captured must tell, in order, what the tables
// hold; and relays that claim beside them must be given all of it, numbered without a gap.
package owner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/admin"
)

// tables are made in the schema chat and in the schema twin.
const tables = `
create table threads (id int primary key, room text);
insert into threads select i, 'room ' || i from generate_series(1, 5) i;
create table notes (id int primary key, room text, body text, meta json, n numeric);
create table replies (id int primary key, thread int, body text);
create table parts (id uuid not null default gen_random_uuid(), room text, part int not null, body text, primary key (id, part)) partition by list (part);
create table parts_0 partition of parts for values in (0);
create table parts_1 partition of parts for values in (1);`

// attach relays chat's.
const attach = `
select roomcast.attach('chat.notes', name => 'note', room => 'room', ids => '{id}');
select roomcast.attach('chat.replies', name => 'reply', room => 'select t.room from chat.threads t where t.id = r.thread');
select roomcast.attach('chat.parts', name => 'part', room => 'r.room', ids => '{id,part}');
update roomcast.settings set bulk = 20;`

// sessions is how many connections take turns.
const sessions = 3

// Relays claim beside the owner's statements, and keep account of what they were given.
type Relays interface {
	Open(ctx context.Context, url string) error // once the schema is there
	Run(ctx context.Context) error              // after every third statement
	// Drain waits until they have been given all, and says whether it was all that was captured.
	Drain(ctx context.Context, captured func() (int64, error)) error
	Close()
}

// run is one day.
type run struct {
	*rand.Rand
	chat, twin []*pgx.Conn // the same sessions, on chat and on twin
	admin      *pgx.Conn
	ledger     ledger
	relays     Relays
	said       []string // what was run, for the report
}

// Run makes the tables in the database and does so many steps, as the seed has it. The
// error tells the step, and how to see it again. Without relays of the caller's, two claim
// in this process.
func Run(ctx context.Context, url string, seed uint64, steps int, beside Relays) error {
	if beside == nil {
		beside = &relays{last: map[string]int64{}}
	}
	r := &run{Rand: rand.New(rand.NewPCG(seed, 1)), relays: beside}
	defer beside.Close()
	if err := r.open(ctx, url); err != nil {
		return err
	}
	defer r.close()
	for step := range steps {
		if err := r.step(ctx, step); err != nil {
			return fmt.Errorf("seed %d, step %d: %w\nthe last statements were\n%s", seed, step, err, r.last(12))
		}
	}
	if err := r.relays.Drain(ctx, r.captured); err != nil {
		return fmt.Errorf("seed %d: %w", seed, err)
	}
	return nil
}

// captured counts the rows of the outbox: nothing takes any away here.
func (r *run) captured() (n int64, err error) {
	err = r.admin.QueryRow(context.Background(), `select count(*) from roomcast.outbox`).Scan(&n)
	return n, err
}

func (r *run) open(ctx context.Context, url string) error {
	if err := admin.Migrate(ctx, url); err != nil {
		return err
	}
	connect := func(setup string) (*pgx.Conn, error) {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			return nil, err
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeExec // a prepared one would not outlive the owner's changes
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return nil, err
		}
		_, err = conn.PgConn().Exec(ctx, setup).ReadAll()
		return conn, err
	}
	var err error
	if r.admin, err = connect(`set client_min_messages = error; create schema chat; create schema twin;
		set search_path = chat;` + tables + `set search_path = twin;` + tables + `reset search_path;` + attach); err != nil {
		return err
	}
	if err := r.relays.Open(ctx, url); err != nil {
		return err
	}
	for range sessions {
		chat, err := connect(`set search_path = chat, public`)
		if err != nil {
			return err
		}
		twin, err := connect(`set search_path = twin, public`)
		if err != nil {
			return err
		}
		r.chat, r.twin = append(r.chat, chat), append(r.twin, twin)
	}
	return nil
}

func (r *run) close() {
	for _, c := range append(append([]*pgx.Conn{r.admin}, r.chat...), r.twin...) {
		if c != nil {
			_ = c.Close(context.Background())
		}
	}
}

// step runs one statement in one session, on both sides, and now and then settles accounts.
func (r *run) step(ctx context.Context, step int) error {
	sql, unseen := r.statement()
	if sql == repair {
		_, err := r.admin.Exec(ctx, sql)
		return err
	}
	r.said = append(r.said, sql)
	i := r.IntN(sessions)
	chat, twin := outcome(ctx, r.chat[i], sql), outcome(ctx, r.twin[i], sql)
	if chat != twin {
		return fmt.Errorf("%s\nends with %q where the tables are relayed, with %q where not", sql, chat, twin)
	}
	r.ledger.unseen = r.ledger.unseen || unseen
	if step%3 == 2 {
		if err := r.relays.Run(ctx); err != nil {
			return err
		}
	}
	if step%5 == 4 {
		return r.ledger.settle(ctx, r.admin)
	}
	return nil
}

// outcome is how a statement ended: the SQLSTATE of its error, or nothing.
func outcome(ctx context.Context, conn *pgx.Conn, sql string) string {
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &pg):
		if conn.PgConn().TxStatus() != 'I' {
			_, _ = conn.PgConn().Exec(ctx, `rollback`).ReadAll()
		}
		return pg.Code + " " + pg.Message
	}
	return err.Error()
}

func (r *run) last(n int) (out string) {
	for _, s := range r.said[max(0, len(r.said)-n):] {
		out += "  " + s + "\n"
	}
	return out
}
