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

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgnet"
	"roomcast/shared/outbox/outboxtest/supabase"
)

// chatCosts: what an INSERT costs in each chat of the guide (infra/moving/chats), moved by
// the guide's lines, against the same chat with a dashboard webhook on every table that
// those lines attach. Both beyond the same chat without either.
func chatCosts(ctx context.Context, l *lab, _ *database) {
	dirs := must(filepath.Glob(filepath.Join(l.root, "infra/moving/chats/*")))
	if len(dirs) == 0 {
		check(errors.New("no chats in infra/moving/chats"))
	}
	during("chats' templates", func() { l.makeChatTemplates(ctx) })
	for _, dir := range dirs {
		during(filepath.Base(dir), func() { l.chatCost(ctx, dir) })
	}
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
func readChat(dir string) (c chatFiles) {
	for name, text := range map[string]*string{"schema.sql": &c.schema, "move.sql": &c.move, "cost.sql": &c.fill} {
		*text = string(must(os.ReadFile(filepath.Join(dir, name))))
	}
	parts := strings.Split(c.fill, "\n-- cost: ")
	c.fill = parts[0]
	for _, part := range parts[1:] {
		what, sql, _ := strings.Cut(part, "\n")
		c.costs = append(c.costs, chatInsert{what, strings.TrimSuffix(strings.TrimSpace(sql), ";")})
	}
	if len(c.costs) == 0 {
		check(errors.New("cost.sql: has no line \"-- cost: what\""))
	}
	return c
}

// chatWays are the three databases of a chat, in the order of their turns.
func chatWays() []string {
	return []string{"bare", "ours", "hook"}
}

func (l *lab) chatCost(ctx context.Context, dir string) {
	chat := readChat(dir)
	dbs := map[string]*database{}
	defer func() {
		for _, db := range dbs {
			check(l.drop(context.WithoutCancel(ctx), db))
		}
	}()
	var attached []string
	for _, way := range chatWays() { // hook needs to know what ours attached
		dbs[way] = l.database(ctx, map[string]string{"ours": "chat_ours", "bare": "chat_plain", "hook": "chat_plain"}[way])
		l.makeChat(ctx, dbs[way], chat, way, &attached)
	}
	for _, insert := range chat.costs {
		var costs map[string]time.Duration
		during(insert.what, func() { costs = l.chatInsertCosts(ctx, dbs, insert) })
		bare, ours, hook := costs["bare"], costs["ours"], costs["hook"]
		share := float64(ours-bare) / float64(hook-bare)
		l.found(result{
			what:    fmt.Sprintf("chat %q: %s", filepath.Base(dir), insert.what),
			reached: fmt.Sprintf("adds %s of CPU, %.2f of its webhooks' %s (without either: %s)", us(ours-bare), share, us(hook-bare), us(bare)),
			target:  "≤ 1",
			met:     share <= 1,
		})
	}
}

// makeChatTemplates makes what chats are copied from: what a Supabase project has besides,
// and the same with Roomcast.
func (l *lab) makeChatTemplates(ctx context.Context) {
	super, plain := l.postgres.URL("postgres"), l.postgres.URL("chat_plain")
	check(outboxtest.Exec(ctx, super, `create database chat_plain`))
	check(pgnet.Install(ctx, plain))
	check(supabase.Install(ctx, plain))
	check(outboxtest.Exec(ctx, super, `create database chat_ours template chat_plain`))
	check(admin.Migrate(ctx, l.postgres.URL("chat_ours")))
}

// makeChat makes the chat, with Roomcast, with webhooks or with neither, and fills it.
func (l *lab) makeChat(ctx context.Context, db *database, chat chatFiles, way string, attached *[]string) {
	check(outboxtest.Exec(ctx, db.owner, chat.schema))
	switch way {
	case "ours":
		check(outboxtest.Exec(ctx, db.owner, chat.move))
		check(db.pool.QueryRow(ctx, `select array_agg(distinct a.relation::regclass::text) from roomcast.attached_tables a
			where a.detached_at is null and a.kind in ('rows', 'members') and a.relation::regclass::text !~ '^roomcast\.'`).Scan(attached))
	case "hook":
		hooks := webhookSQL
		for _, table := range *attached {
			hooks += fmt.Sprintf(hookTrigger, table)
		}
		check(outboxtest.Exec(ctx, db.owner, hooks))
	}
	check(outboxtest.Exec(ctx, db.owner, chat.fill))
}

// hookTrigger is a dashboard webhook on a table.
const hookTrigger = `create trigger hook after insert or update or delete on %s for each row
	execute function supabase_functions.http_request('http://127.0.0.1:9/webhooks/supabase', 'POST',
		'{"Content-type":"application/json","Authorization":"Bearer load-webhook-secret-of-32-characters"}', '{}', '5000');
`

// chatInsertCosts returns the medians of what an INSERT computes in each database, the
// relay awake, in turns.
func (l *lab) chatInsertCosts(ctx context.Context, dbs map[string]*database, insert chatInsert) map[string]time.Duration {
	rounds, inserts := l.pick(10, 2), l.pick(40, 20)
	conns := map[string]*pgx.Conn{}
	for way, db := range dbs {
		conn := db.connect(ctx)
		defer conn.Close(context.WithoutCancel(ctx))
		must(conn.Exec(ctx, `set synchronous_commit = off`))
		conns[way] = conn
	}
	turns := map[string][]time.Duration{}
	for round := range rounds + 1 {
		dbs["ours"].lease(ctx, 50*time.Second)
		for _, way := range chatWays() {
			conn := conns[way]
			took := backendTime(conn, func() {
				for i := range inserts {
					must(conn.Exec(ctx, insert.sql, round*inserts+i))
				}
			})
			if round > 0 { // the first plans and fills caches
				turns[way] = append(turns[way], took/time.Duration(inserts))
			}
		}
		must(conns["hook"].Exec(ctx, `delete from net.http_request_queue`)) // a sender would have
	}
	out := map[string]time.Duration{}
	for way, took := range turns {
		out[way] = median(took)
	}
	return out
}
