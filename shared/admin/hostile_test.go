package admin_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// intruder is a session of a role that is not trusted: the relay's, as a relay that was
// taken over would use it, or a chat user's, as with the SQL editor or a function of the
// team's that runs what users write.
type intruder struct {
	*testing.T
	conn *pgx.Conn
	role string

	mu     sync.Mutex
	loot   []string // under whose rights the intruder's own code has run in this statement
	stolen []string // and in all of them
	calls  int
}

// trap is code of the intruder's. Whoever runs it says so, even if it is rolled back.
const trap = `create function %[1]s.trap(x pg_catalog.text) returns pg_catalog.bool language plpgsql as $f$
	begin raise notice 'TRAP runs as %%', current_user; return true; end $f$;
	create function %[1]s.trap() returns pg_catalog.text language plpgsql as $f$
	begin perform %[1]s.trap('x'); return ''; end $f$`

// intrude breaks in: a login role that is a member of, or as good as, another.
func intrude(c *chat, name, setup string) *intruder {
	c.Helper()
	role := fmt.Sprintf("hostile_%s_%d", name, one[int](c, `select pg_backend_pid()`))
	c.Exec(`create role ` + role + ` login password 'hostile'`)
	c.Cleanup(func() { // roles are the cluster's
		_, _ = c.Conn.Exec(context.Background(), `drop owned by `+role+`; drop role `+role)
	})
	c.Exec(strings.ReplaceAll(setup, "ROLE", role))
	u, err := url.Parse(c.URL)
	if err != nil {
		c.Fatal(err)
	}
	u.User = url.UserPassword(role, "hostile")
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		c.Fatal(err)
	}
	in := &intruder{T: c.T, role: role}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		in.mu.Lock()
		defer in.mu.Unlock()
		if as, ran := strings.CutPrefix(n.Message, "TRAP runs as "); ran && as != role {
			in.loot = append(in.loot, as)
		}
	}
	if in.conn, err = pgx.ConnectConfig(c.Context(), config); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = in.conn.Close(context.Background()) })
	return in
}

// try runs statements that may fail, in a transaction of their own.
func (in *intruder) try(sql string, args ...any) error {
	in.calls++
	_, err := in.conn.Exec(in.Context(), sql, args...)
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, as := range in.loot {
		in.stolen = append(in.stolen, fmt.Sprintf("%s: as %s", sql, as))
	}
	in.loot = nil
	return err
}

// must runs a statement that sets a trap.
func (in *intruder) must(sql string) {
	in.Helper()
	if err := in.try(sql); err != nil {
		in.Fatalf("%s: %v", sql, err)
	}
}

// setTraps puts objects of the intruder's before everybody's: temporary domains with the
// names of the types that functions declare, temporary views with the names of Postgres'
// own, and in public, where he may create, functions and operators that fit better.
func (in *intruder) setTraps() {
	in.Helper()
	in.must(`create temporary table warm (x int)`) // pg_temp exists from now on
	in.must(fmt.Sprintf(trap, "pg_temp"))
	in.must(fmt.Sprintf(trap, "public"))
	for _, name := range []string{
		"text", "jsonb", "json", "uuid", "int", "int2", "int4", "int8", "bigint", "integer", "bool", "boolean", "interval", "timestamptz",
		"regclass", "name", "oid", "xid8", "pg_snapshot", "float8", "numeric", "bytea", "char", "varchar", "record", "pg_lsn",
	} {
		base := name
		if name == "record" || name == "char" {
			base = "text"
		}
		in.must(fmt.Sprintf(`create domain pg_temp.%q as pg_catalog.%s check (pg_temp.trap(value::pg_catalog.text))`, name, typeName(base)))
	}
	for _, relation := range []string{
		"pg_class", "pg_attribute", "pg_proc", "pg_roles", "pg_database", "pg_trigger", "pg_index", "pg_namespace", "pg_locks", "pg_stat_activity",
		"pg_type", "pg_constraint", "pg_extension", "pg_settings", "pg_inherits",
	} {
		columns := "*"
		if relation == "pg_attribute" { // one column of it has a pseudo-type
			columns = "attrelid, attname, atttypid, attnum, attnotnull, attisdropped, attgenerated, attcollation"
		}
		in.must(fmt.Sprintf(`create temporary view %s as select %s, pg_temp.trap('x') from pg_catalog.%[1]s`, relation, columns))
	}
	for _, fn := range []string{
		`to_jsonb(uuid) returns jsonb`, `now() returns timestamptz`, `clock_timestamp() returns timestamptz`, `coalesce_(text) returns text`,
		`format(text, text) returns text`, `hashtextextended(text, int) returns bigint`, `length(uuid) returns int`, `lower(uuid) returns text`,
		`jsonb_build_object(text, text) returns jsonb`, `set_config(text, text, boolean) returns text`, `current_setting(text, boolean) returns text`,
	} {
		head, result, _ := strings.Cut(fn, " returns ")
		in.must(fmt.Sprintf(`create function public.%s returns %s language plpgsql as 'begin perform public.trap(''x''); return null; end'`, head, result))
	}
	for i, operand := range []string{"text, text", "uuid, text", "text, uuid", "bigint, int", "int, bigint", "jsonb, text", "timestamptz, interval"} {
		left, right, _ := strings.Cut(operand, ", ")
		in.must(fmt.Sprintf(`create function public.op_%d(%s, %s) returns boolean language plpgsql as 'begin perform public.trap(''x''); return true; end'`, i, left, right))
		for _, op := range []string{"=", "<", ">", "||", "->>", "+", "-"} {
			in.must(fmt.Sprintf(`create operator public.%s (leftarg = %s, rightarg = %s, function = public.op_%d)`, op, left, right, i))
		}
	}
	in.must(`set search_path = pg_temp, public, pg_catalog`)
}

// typeName spells a type for the qualified reference of a domain: "int" and such are the
// grammar's names, not the catalog's.
func typeName(name string) string {
	switch name {
	case "int", "integer":
		return "int4"
	case "bigint":
		return "int8"
	case "boolean":
		return "bool"
	}
	return name
}

// setSettings tries every setting by which ours or Postgres' behaviour could be bent.
func (in *intruder) setSettings() {
	for _, setting := range []string{
		`roomcast.capture = 'off'`, `roomcast.wakeup_wanted = 'x''; select public.trap(); --'`, `roomcast.wakeup = 'on'`, `roomcast.rung = 'on'`,
		`session_replication_role = replica`, `role = postgres`, `row_security = off`, `default_transaction_isolation = serializable`,
		`bytea_output = escape`, `IntervalStyle = sql_standard`, `DateStyle = 'SQL, DMY'`, `extra_float_digits = 0`, `TimeZone = 'Asia/Kathmandu'`,
		`check_function_bodies = off`, `plpgsql.variable_conflict = use_column`, `plpgsql.extra_errors = 'all'`, `standard_conforming_strings = off`,
		`transform_null_equals = on`, `quote_all_identifiers = on`, `local_preload_libraries = 'x'`, `session_preload_libraries = 'x'`,
	} {
		_ = in.try(`set ` + setting)
	}
}

// values are what a hostile caller may pass for an argument of a type: code that a
// function would run if it made SQL of its arguments, other relations, other spellings.
func values(typ string) []string {
	text := []string{
		`public.trap()`, `(select public.trap())`, `'; select public.trap(); --`, `'||public.trap()||'`, `"; select public.trap(); --`,
		`$$; select public.trap(); $$`, `%I %L %s`, `\'; select public.trap(); --`, `x) or public.trap('x') or (true`, ``, `@`, "\u202e",
	}
	switch typ {
	case "text", "name":
		return text
	case "text[]", "name[]":
		out := []string{`{}`, `{NULL}`}
		for _, value := range text {
			out = append(out, `{"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)+`"}`)
		}
		return out
	case "jsonb", "json":
		return []string{`{}`, `null`, `[]`, `{"role":"postgres","sub":"x","room":"'; select public.trap(); --"}`, `{"saw_both":1,"pusher_delays":["public.trap()"]}`}
	case "jsonb[]":
		return []string{`{}`, `{"{\"role\":\"postgres\"}"}`}
	case "regclass":
		return []string{`pg_catalog.pg_authid`, `pg_catalog.pg_class`, `roomcast.settings`, `public.messages`}
	case "uuid":
		return []string{user1}
	case "uuid[]":
		return []string{`{` + user1 + `}`}
	case "boolean":
		return []string{`t`, `f`}
	case "interval":
		return []string{`1 ms`, `-1 year`, `100 years`}
	case "timestamp with time zone":
		return []string{`now`, `-infinity`, `infinity`}
	case "timestamp with time zone[]":
		return []string{`{now}`, `{}`}
	case "boolean[]":
		return []string{`{t}`, `{}`}
	case "bigint[]", "integer[]", "double precision[]", "smallint[]":
		return []string{`{}`, `{1}`, `{-1}`, `{NULL}`}
	default:
		return []string{`0`, `1`, `-1`, `2147483647`}
	}
}

type signature struct {
	call  string // schema.name
	types []string
}

// signatures are all functions of ours that can be called by name.
func signatures(c *chat) (all []signature) {
	c.Helper()
	rows, err := c.Conn.Query(c.Context(), `select 'roomcast.' || quote_ident(p.proname),
		array(select format_type(t, null) from unnest(p.proargtypes) with ordinality as a (t, i) order by i)
		from pg_proc p where p.pronamespace = 'roomcast'::regnamespace and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype`)
	if err != nil {
		c.Fatal(err)
	}
	all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s signature, err error) {
		return s, row.Scan(&s.call, &s.types)
	})
	if err != nil || len(all) < 40 {
		c.Fatalf("%d functions, %v", len(all), err)
	}
	return all
}

// callEverything calls each function with each value of each of its arguments.
func (in *intruder) callEverything(all []signature) {
	in.must(`set statement_timeout = '250ms'`) // some wait, for rows or for others
	for _, s := range all {
		tries := 1
		for _, typ := range s.types {
			tries = max(tries, len(values(typ)))
		}
		for i := range tries {
			args := make([]string, len(s.types))
			for j, typ := range s.types {
				of := values(typ)
				args[j] = literal(of[i%len(of)]) + `::pg_catalog.` + qualified(typ)
			}
			_ = in.try(`select ` + s.call + `(` + strings.Join(args, ", ") + `)`)
		}
	}
}

func literal(value string) string {
	return `E'` + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + `'`
}

// qualified spells a type so that a domain in pg_temp is not taken for it.
func qualified(typ string) string {
	base, array := strings.CutSuffix(typ, "[]")
	switch base {
	case "timestamp with time zone":
		base = "timestamptz"
	case "double precision":
		base = "float8"
	case "integer":
		base = "int4"
	case "smallint":
		base = "int2"
	case "bigint":
		base = "int8"
	case "boolean":
		base = "bool"
	}
	if array {
		return base + "[]"
	}
	return base
}

// rights is all that a role may do in this database, as text to be compared.
func rights(c *chat, role string) string {
	c.Helper()
	return one[string](c, `select jsonb_build_object(
		'role', (select to_jsonb(r) - 'rolpassword' from pg_roles r where r.rolname = $1),
		'member', (select coalesce(jsonb_agg(r.rolname order by 1), '[]') from pg_roles r where pg_has_role($1, r.oid, 'member')),
		'owns', (select count(*) from pg_class k where k.relnamespace = 'roomcast'::regnamespace and k.relowner = $1::regrole),
		'tables', (select coalesce(jsonb_agg(k.oid::regclass::text || ' ' || w order by 1), '[]')
			from pg_class k, unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) w
			where k.relnamespace in ('roomcast'::regnamespace, 'net'::regnamespace) and k.relkind in ('r', 'v', 'p', 'm') and has_table_privilege($1, k.oid, w)),
		'messages', (select jsonb_agg(w order by 1) from unnest(array['select', 'insert', 'update', 'delete']) w where has_table_privilege($1, 'public.messages', w)),
		'functions', (select coalesce(jsonb_agg(p.oid::regprocedure::text order by 1), '[]') from pg_proc p
			where p.pronamespace = 'roomcast'::regnamespace and has_function_privilege($1, p.oid, 'execute')),
		'schema', has_schema_privilege($1, 'roomcast', 'create'))::text`, role)
}

// A relay that was taken over, and a chat user in a SQL session, run none of their own
// code with another's rights, whatever they create, set or pass, and have no right more
// afterwards.
func TestIntrudersGainNothing(t *testing.T) {
	for _, tc := range []struct{ name, setup string }{
		{"relay", `grant roomcast_relay to ROLE; grant create on schema public to ROLE; grant temporary on database DATABASE to ROLE`},
		{"user", `grant usage, create on schema public to ROLE; grant temporary on database DATABASE to ROLE;
			grant select, insert, update, delete on public.messages, public.room_participants to ROLE`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newChat(t)
			all := signatures(c)
			setup := strings.ReplaceAll(tc.setup, "DATABASE", one[string](c, `select quote_ident(current_database())`))
			in := intrude(c, tc.name, setup)
			before := rights(c, in.role)
			in.setTraps()
			in.setSettings()
			in.callEverything(all)
			in.write()
			if told := one[string](c, `select coalesce(string_agg(distinct a.name || ' ' || o.op, ', ' order by a.name || ' ' || o.op), '')
				from roomcast.outbox o join roomcast.attached_tables a on a.id = o.attached`); tc.name == "user" &&
				told != "member DELETE, member INSERT, message DELETE, message INSERT, message UPDATE" {
				t.Errorf("of what the user wrote with every setting bent, the outbox has: %s", told)
			}
			if after := rights(c, in.role); after != before {
				t.Errorf("rights before\n%s\nand after\n%s", before, after)
			}
			if len(in.stolen) > 0 {
				t.Errorf("the intruder's code has run with another's rights:\n%s", strings.Join(in.stolen, "\n"))
			}
			if in.calls < 300 {
				t.Errorf("only %d attempts", in.calls)
			}
		})
	}
}

// The traps work: a function whose search path is not pinned runs into them.
func TestIntrudersAreSeen(t *testing.T) {
	c := newChat(t)
	in := intrude(c, "seen", strings.ReplaceAll(`grant roomcast_relay to ROLE; grant create on schema public to ROLE;
		grant temporary on database DATABASE to ROLE`, "DATABASE", one[string](c, `select quote_ident(current_database())`)))
	in.setTraps()
	c.Exec(`alter function roomcast.note_receipt(uuid, uuid, text, bigint, jsonb) set search_path = ''`)
	_ = in.try(`select roomcast.note_receipt('` + user1 + `', '` + user1 + `', 'x', 1, '{}')`)
	if len(in.stolen) == 0 {
		t.Error("a temporary domain's check has not run with the owner's rights")
	}
}

// write fires the triggers with the traps set.
func (in *intruder) write() {
	in.must(`set statement_timeout = 0`)
	for _, sql := range []string{
		`insert into public.messages (room_id, user_id, content) values ('` + roomA + `', '` + user1 + `', '''; select public.trap(); --')`,
		`update public.messages set content = 'public.trap()'`,
		`insert into public.room_participants (room_id, user_id) values ('` + roomA + `', '` + user2 + `')`,
		`delete from public.room_participants`, `delete from public.messages`, `truncate public.messages`,
	} {
		_ = in.try(sql)
	}
}

// The relay's role may execute what rights.sql grants it, and nobody else anything.
func TestRightsAreWhatTheFileSays(t *testing.T) {
	c := newChat(t)
	if others := one[string](c, `select coalesce(string_agg(p.oid::regprocedure::text || ' to ' || a.grantee::regrole, ', '), '')
		from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		where p.pronamespace = 'roomcast'::regnamespace and a.grantee not in (p.proowner, 'roomcast_relay'::regrole)`); others != "" {
		t.Errorf("may be executed by others: %s", others)
	}
	if tables := one[string](c, `select coalesce(string_agg(k.relname || ' ' || a.privilege_type || ' to ' || a.grantee::regrole, ', '), '')
		from pg_class k, aclexplode(k.relacl) a where k.relnamespace = 'roomcast'::regnamespace and a.grantee <> k.relowner`); tables != "" {
		t.Errorf("open to others: %s", tables)
	}
	definers := one[int](c, `select count(*) from pg_proc p where p.pronamespace = 'roomcast'::regnamespace and not p.prosecdef
		and has_function_privilege('roomcast_relay', p.oid, 'execute')`)
	if definers > 0 {
		t.Errorf("%d of the relay's functions run with the relay's own rights: it needs none", definers)
	}
}
