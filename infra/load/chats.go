package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgnet"
	"roomcast/shared/outbox/outboxtest/supabase"
)

// chatCosts: what an INSERT costs in each chat of the guide (infra/moving/chats), moved by
// the guide's lines, against the same chat with a dashboard webhook on every table that
// those lines attach. Both beyond the same chat without either.
func chatCosts(ctx context.Context, l *lab, _ *database) ([]result, error) {
	dirs, err := filepath.Glob(filepath.Join(l.root, "infra/moving/chats/*"))
	if err != nil || len(dirs) == 0 {
		return nil, errors.Join(err, errors.New("no chats in infra/moving/chats"))
	}
	var results []result
	if err := l.makeChatTemplates(ctx); err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		found, err := l.chatCost(ctx, dir)
		if err != nil {
			return results, fmt.Errorf("%s: %w", filepath.Base(dir), err)
		}
		results = append(results, found...)
	}
	return results, nil
}

// chatFiles are a chat as its folder has it. Costs are the INSERTs to be measured, by what
// they write; in them $1 counts on.
type chatFiles struct {
	schema, move, fill string
	costs              []chatInsert
}

type chatInsert struct{ what, sql string }

// readChat reads schema.sql, move.sql, and cost.sql: what fills the chat, and behind each
// line "-- cost: WHAT" one INSERT.
func readChat(dir string) (c chatFiles, err error) {
	for name, text := range map[string]*string{"schema.sql": &c.schema, "move.sql": &c.move, "cost.sql": &c.fill} {
		read, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return c, err
		}
		*text = string(read)
	}
	parts := strings.Split(c.fill, "\n-- cost: ")
	c.fill = parts[0]
	for _, part := range parts[1:] {
		what, sql, _ := strings.Cut(part, "\n")
		c.costs = append(c.costs, chatInsert{what, strings.TrimSuffix(strings.TrimSpace(sql), ";")})
	}
	if len(c.costs) == 0 {
		return c, errors.New("cost.sql: has no line \"-- cost: what\"")
	}
	return c, nil
}

// chatWays are the three databases of a chat, in the order of their turns.
var chatWays = []string{"bare", "ours", "hook"}

func (l *lab) chatCost(ctx context.Context, dir string) (results []result, err error) {
	chat, err := readChat(dir)
	if err != nil {
		return nil, err
	}
	dbs := map[string]*database{}
	defer func() {
		for _, db := range dbs {
			err = errors.Join(err, l.drop(context.WithoutCancel(ctx), db))
		}
	}()
	var attached []string
	for _, way := range []string{"bare", "ours", "hook"} { // hook needs to know what ours attached
		db, err := l.chatDatabase(ctx, way)
		if err != nil {
			return nil, err
		}
		dbs[way] = db
		if err := l.makeChat(ctx, db, chat, way, &attached); err != nil {
			return nil, err
		}
	}
	for _, insert := range chat.costs {
		costs, err := l.chatInsertCosts(ctx, dbs, insert)
		if err != nil {
			return results, fmt.Errorf("%s: %w", insert.what, err)
		}
		bare, ours, hook := costs["bare"], costs["ours"], costs["hook"]
		share := float64(ours-bare) / float64(hook-bare)
		results = append(results, result{
			what:    fmt.Sprintf("chat %q: %s", filepath.Base(dir), insert.what),
			reached: fmt.Sprintf("adds %s of CPU, %.2f of its webhooks' %s (without either: %s)", us(ours-bare), share, us(hook-bare), us(bare)),
			target:  "≤ 1",
			met:     share <= 1,
		})
	}
	return results, nil
}

// makeChatTemplates makes what chats are copied from: what a Supabase project has besides,
// and the same with Roomcast.
func (l *lab) makeChatTemplates(ctx context.Context) error {
	super, plain, ours := l.postgres.URL("postgres"), l.postgres.URL("chat_plain"), l.postgres.URL("chat_ours")
	for _, step := range []func() error{
		func() error { return outboxtest.Exec(ctx, super, `create database chat_plain`) },
		func() error { return errors.Join(pgnet.Install(ctx, plain), supabase.Install(ctx, plain)) },
		func() error { return outboxtest.Exec(ctx, super, `create database chat_ours template chat_plain`) },
		func() error { return admin.Migrate(ctx, ours) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("chats' templates: %w", err)
		}
	}
	return nil
}

// chatDatabase is a copy for one way.
func (l *lab) chatDatabase(ctx context.Context, way string) (*database, error) {
	l.databases++
	name, template := fmt.Sprintf("load_%d", l.databases), "chat_plain"
	if way == "ours" {
		template = "chat_ours"
	}
	if err := outboxtest.Exec(ctx, l.postgres.URL("postgres"), "create database "+name+" template "+template); err != nil {
		return nil, err
	}
	db := &database{owner: l.postgres.URL(name)}
	var err error
	if db.relay, err = asRelay(db.owner); err != nil {
		return nil, err
	}
	db.pool, err = pgxpool.New(ctx, db.owner)
	return db, err
}

// makeChat makes the chat, with Roomcast, with webhooks or with neither, and fills it.
func (l *lab) makeChat(ctx context.Context, db *database, chat chatFiles, way string, attached *[]string) error {
	if err := outboxtest.Exec(ctx, db.owner, chat.schema); err != nil {
		return err
	}
	switch way {
	case "ours":
		if err := outboxtest.Exec(ctx, db.owner, chat.move); err != nil {
			return err
		}
		err := db.pool.QueryRow(ctx, `select array_agg(distinct a.relation::regclass::text) from roomcast.attached_tables a
			where a.detached_at is null and a.kind in ('rows', 'members') and a.relation::regclass::text !~ '^roomcast\.'`).Scan(attached)
		if err != nil {
			return err
		}
	case "hook":
		hooks := webhookSQL
		for _, table := range *attached {
			hooks += fmt.Sprintf(hookTrigger, table)
		}
		if err := outboxtest.Exec(ctx, db.owner, hooks); err != nil {
			return err
		}
	}
	return outboxtest.Exec(ctx, db.owner, chat.fill)
}

// hookTrigger is a dashboard webhook on a table.
const hookTrigger = `create trigger hook after insert or update or delete on %s for each row
	execute function supabase_functions.http_request('http://127.0.0.1:9/webhooks/supabase', 'POST',
		'{"Content-type":"application/json","Authorization":"Bearer load-webhook-secret-of-32-characters"}', '{}', '5000');
`

// chatInsertCosts returns the medians of what an INSERT computes in each database, the
// relay awake, in turns.
func (l *lab) chatInsertCosts(ctx context.Context, dbs map[string]*database, insert chatInsert) (map[string]time.Duration, error) {
	rounds, inserts := l.pick(10, 2), l.pick(40, 20)
	conns := map[string]*pgx.Conn{}
	for way, db := range dbs {
		conn, err := pgx.Connect(ctx, db.owner)
		if err != nil {
			return nil, err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		if _, err := conn.Exec(ctx, `set synchronous_commit = off`); err != nil {
			return nil, err
		}
		conns[way] = conn
	}
	turns := map[string][]time.Duration{}
	for round := range rounds + 1 {
		if err := dbs["ours"].lease(ctx, 50*time.Second); err != nil {
			return nil, err
		}
		for _, way := range chatWays {
			conn := conns[way]
			took, err := backendTime(conn, func() error {
				for i := range inserts {
					if _, err := conn.Exec(ctx, insert.sql, round*inserts+i); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", way, err)
			}
			if round > 0 { // the first plans and fills caches
				turns[way] = append(turns[way], took/time.Duration(inserts))
			}
		}
		if _, err := conns["hook"].Exec(ctx, `delete from net.http_request_queue`); err != nil { // a sender would have
			return nil, err
		}
	}
	out := map[string]time.Duration{}
	for way, took := range turns {
		out[way] = median(took)
	}
	return out, nil
}
