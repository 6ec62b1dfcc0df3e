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

// trap is code of the intruder's. It names the role that runs it, even if it is rolled back.
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
		`roomcast.capture = 'off'`, `roomcast.wakeup_wanted = 'x''; select public.trap(); --'`, `roomcast.wakeup = 'on'`,
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
