// Package moving has no code: its tests run what infra/MOVING.md prints, so that the
// guide cannot fall behind the program.
package moving

import (
	"context"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/functions/parity"
	"roomcast/shared/admin"
	"roomcast/shared/browser"
	"roomcast/shared/event"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgcron"
)

var fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// blocks returns the guide's blocks of one language, in order; "" has no name.
func blocks(t *testing.T, language string) (out []string) {
	t.Helper()
	guide, err := os.ReadFile("../MOVING.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatch(string(guide), -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	if len(out) == 0 {
		t.Fatalf("the guide has no block of %q", language)
	}
	return out
}

// What a Supabase project has besides: its publication, pg_cron, a Vault.
const project = `
create table public.messages (id uuid primary key default gen_random_uuid(), room_id uuid not null, user_id uuid, content text, created_at timestamptz not null default now());
create table public.room_participants (room_id uuid not null, user_id uuid not null, unique (room_id, user_id));
create publication supabase_realtime for table public.messages;
create schema vault;
create table vault.secrets (name text);`

// Every statement is run as printed, in the guide's order, from the bare tables to the
// bare tables; a message is written as soon as there is a trigger.
func TestSQL(t *testing.T) {
	database := outboxtest.Database(t)
	if err := pgcron.Install(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if err := outboxtest.Exec(t.Context(), database, sql); err != nil {
			t.Fatalf("%s\n%v", sql, err)
		}
	}
	exec(project)
	before := shape(t, database)
	if err := admin.Migrate(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	for _, sql := range blocks(t, "sql") {
		if strings.Contains(whatAChatHas(t), sql) {
			continue // of other chats: TestChats runs it
		}
		if strings.Contains(sql, "roomcast.uninstall()") {
			exec(`alter publication supabase_realtime add table public.messages`) // the guide's way back
		}
		exec(sql)
		if strings.Contains(sql, "attach_messages") {
			exec(`insert into messages (room_id, content) values (gen_random_uuid(), 'hi')`)
		}
	}
	if after := shape(t, database); after != before {
		t.Errorf("the tables were\n%s\nand are\n%s", before, after)
	}
}

// shape tells what is in the database besides system schemas: triggers, tables, jobs.
func shape(t *testing.T, database string) (out string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	err = conn.QueryRow(t.Context(), `select string_agg(x, ' ' order by x) from (
		select 'trigger ' || tgname from pg_trigger where not tgisinternal
		union all select 'table ' || relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
		union all select 'job ' || jobname from cron.job
		union all select 'schema ' || nspname from pg_namespace where nspname !~ '^pg_'
		union all select 'published ' || tablename from pg_publication_tables) s (x)`).Scan(&out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every CLIENT_MODE is one that the function takes.
func TestModes(t *testing.T) {
	modes := 0
	for _, block := range blocks(t, "") {
		for line := range strings.Lines(block) {
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), "CLIENT_MODE="); ok {
				modes++
				if _, err := browser.ParsePlan(text); err != nil {
					t.Errorf("%s: %v", text, err)
				}
			}
		}
	}
	if modes < 6 {
		t.Errorf("only %d modes", modes)
	}
}

// Every ROOM_CHANNELS names kinds of channel that there are, and packing is told of.
func TestChannels(t *testing.T) {
	lines := regexp.MustCompile(`(?m)^\s*ROOM_CHANNELS=(\S+)$`).FindAllStringSubmatch(guideText(t), -1)
	packed := 0
	for _, m := range lines {
		for name := range strings.SplitSeq(m[1], ",") {
			kind, err := event.ParseChannelKind(name)
			if err != nil {
				t.Errorf("%s: %v", m[0], err)
			}
			if kind == event.Packed {
				packed++
			}
		}
	}
	if packed < 2 {
		t.Errorf("packed is turned on %d times, want beside private and in its place", packed)
	}
}

// guideText is the whole of MOVING.md: the blocks of a list are indented.
func guideText(t *testing.T) string {
	t.Helper()
	guide, err := os.ReadFile("../MOVING.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(guide)
}

// Every query of /parity is one it takes, and every parameter it takes is told.
func TestQueries(t *testing.T) {
	guide, err := os.ReadFile("../MOVING.md")
	if err != nil {
		t.Fatal(err)
	}
	queries := regexp.MustCompile(`\?((?:hours|format|rooms|min|max|p95)[a-z_0-9.=&]+)`).FindAllStringSubmatch(string(guide), -1)
	if len(queries) < 3 {
		t.Errorf("only %d queries", len(queries))
	}
	for _, q := range queries {
		if _, err := parity.ParseAsk(q[1]); err != nil {
			t.Errorf("%s: %v", q[1], err)
		}
	}
	for _, name := range []string{"hours", "rooms", "min_hours", "min_messages", "min_page_hours", "max_share", "max_lost", "max_missing", "max_unjudged", "p95_factor", "p95_slack_ms"} {
		if _, err := parity.ParseAsk(url.Values{name: {"1"}}.Encode()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(string(guide), "`"+name+"`") {
			t.Errorf("%s is not told", name)
		}
	}
}

// The hook and its module are JavaScript, before and after.
func TestJavaScript(t *testing.T) {
	node := need(t)
	sources := blocks(t, "js")
	for _, diff := range blocks(t, "diff") {
		sources = append(sources, side(diff, '-'), side(diff, '+'))
	}
	for _, source := range sources {
		check := exec.CommandContext(t.Context(), node, "--input-type=module", "--check")
		check.Stdin = strings.NewReader(source)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, source)
		}
	}
}

// What the hook imports: the test tells the rooms what happens, and answers the queries.
var aroundTheHook = map[string]string{
	"package.json": `{"type": "module"}`,
	"rooms.js": `export const joined = []
export const rooms = { status: 'live', on: () => () => {}, join() {
  const handlers = {}
  const room = { on: (name, fn) => handlers[name] = fn, leave: () => room.left = true, tell: (name, data) => handlers[name]?.(data) }
  joined.push(room)
  return room
} }`,
	"supabase.js": `export const queries = []
const query = () => {
  const q = { then: (done, failed) => new Promise((answer) => (q.answer = answer, queries.push(q))).then(done, failed) }
  for (const step of ['select', 'eq', 'order', 'limit', 'lt', 'insert']) q[step] = () => q
  return q
}
export const supabase = { from: query }`,
}

// The hook as the guide leaves it shows each message once, whenever it was written.
func TestHook(t *testing.T) {
	node := need(t)
	files := maps.Clone(aroundTheHook)
	source, err := os.ReadFile("testdata/hook.test.js")
	if err != nil {
		t.Fatal(err)
	}
	files["hook.test.js"] = string(source)
	files["useMessages.js"] = side(blocks(t, "diff")[0], '+')
	dir := t.TempDir()
	for name, source := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	browser, err := filepath.Abs("../../shared/browser")
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(dir, "node_modules")
	if err := os.Mkdir(modules, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"roomcast": browser, "react": browser + "/node_modules/react", "react-test-renderer": browser + "/node_modules/react-test-renderer",
	} {
		if err := os.Symlink(target, filepath.Join(modules, name)); err != nil {
			t.Fatal(err)
		}
	}
	check := exec.CommandContext(t.Context(), node, "--test", "--test-timeout=10000", "hook.test.js")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// need returns node, where the npm packages are there, too; else the test is skipped, or
// fails in CI.
func need(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("../../shared/browser/node_modules/react")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return node
}

// side takes one side of a diff: what is common, and the lines with this sign.
func side(diff string, sign byte) string {
	var out strings.Builder
	for line := range strings.Lines(diff) {
		if line[0] == ' ' || line[0] == sign || line == "\n" {
			out.WriteString(strings.TrimLeft(line[:1], "+- ") + line[1:])
		}
	}
	return out.String()
}

// Every program named is there, and ops knows every command.
func TestPrograms(t *testing.T) {
	ops, err := os.ReadFile("../ops/main.go")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../MOVING.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`go run \./infra/(\w+)(?: -secrets \S+)?(?: (\w+))?`).FindAllStringSubmatch(string(guide), -1) {
		if _, err := os.Stat("../" + m[1] + "/main.go"); err != nil {
			t.Error(err)
		}
		if m[1] == "ops" && !strings.Contains(string(ops), `{"`+m[2]+`",`) {
			t.Errorf("ops has no command %q", m[2])
		}
	}
	for _, file := range regexp.MustCompile("`((?:shared|infra)/[\\w/.-]+)`").FindAllStringSubmatch(string(guide), -1) {
		if _, err := os.Stat("../../" + file[1]); err != nil {
			t.Error(err)
		}
	}
}
