package owner

import (
	"fmt"
	"strings"
)

// repair is run on the relayed side only: what the sweep does.
const repair = `select roomcast.repair_captures()`

// statement is the next one, the same for both sides. unseen says that it may leave out of
// the outbox what it writes, and is meant to.
func (r *run) statement() (sql string, unseen bool) {
	switch n := r.IntN(100); {
	case n < 45:
		return r.write(), false
	case n < 60:
		sql = r.ddl()
		return sql, strings.Contains(sql, " type ") || strings.Contains(sql, "threads") // which changes values, or rooms, by no statement of rows
	case n < 70:
		return r.setting(), false
	case n < 76:
		sql = r.partition()
		return sql, strings.Contains(sql, "tach partition") // so that rows come and go
	case n < 80: // a transaction, parts of it undone
		return fmt.Sprintf("begin; %s; savepoint s; %s; rollback to s; %s; commit", r.write(), r.write(), r.write()), false
	case n < 83:
		return fmt.Sprintf("do $do$ begin %s; raise exception 'undone'; exception when others then null; end $do$", r.write()), false
	case n < 87:
		return fmt.Sprintf("begin isolation level %s; %s; %s; commit", r.one("serializable", "repeatable read"), r.write(), r.write()), false
	case n < 89:
		return "truncate " + r.one("notes", "replies", "parts"), false
	case n < 91:
		return fmt.Sprintf("begin; set local roomcast.capture = 'off'; %s; commit", r.write()), true
	case n < 93:
		return fmt.Sprintf("begin; set local session_replication_role = replica; %s; commit", r.write()), true
	case n < 95:
		return fmt.Sprintf("insert into notes select i, 'full', 'x' from generate_series(%d, %[1]d + 40) i on conflict do nothing", r.IntN(1000)), false
	}
	return repair, false
}

func (r *run) one(of ...string) string { return of[r.IntN(len(of))] }

// write changes rows. Ids collide on purpose, so that what is written is changed again.
func (r *run) write() string {
	id := func() string { return fmt.Sprint(r.IntN(30)) }
	some := func() string { return fmt.Sprintf("%d, %d, %d", r.IntN(30), r.IntN(30), r.IntN(30)) }
	switch r.IntN(14) {
	case 0, 1, 2:
		return fmt.Sprintf("insert into notes select %s, %s, %s, %s, %s on conflict do nothing", id(), r.room(), r.text(), r.json(), r.number())
	case 3:
		return fmt.Sprintf("insert into notes select i, %s, %s from generate_series(%d, %d) i on conflict do nothing", r.room(), r.text(), r.IntN(20), r.IntN(30))
	case 4, 5:
		return fmt.Sprintf("update notes set body = %s, n = %s where id::text in (select unnest(array[%s])::text)", r.text(), r.number(), some())
	case 6:
		return fmt.Sprintf("update notes set room = %s where id::text in (select unnest(array[%s])::text)", r.room(), some())
	case 7:
		return fmt.Sprintf("update notes set id = 100 + %s where id::text = '%s'", id(), id())
	case 8:
		return fmt.Sprintf("delete from notes where id::text in (select unnest(array[%s])::text)", some())
	case 9:
		return fmt.Sprintf("insert into notes values (%s, %s, %s) on conflict (id) do update set body = excluded.body, meta = %s", id(), r.room(), r.text(), r.json())
	case 10:
		return fmt.Sprintf("insert into replies values (%s, %d, %s) on conflict (id) do update set body = 'again'", id(), 1+r.IntN(6), r.text())
	case 11:
		return fmt.Sprintf("delete from replies where id::text = '%s'", id())
	case 12:
		return fmt.Sprintf("insert into parts (id, room, part, body) values ('00000000-0000-4000-8000-0000000000%02d', %s, %d, %s) on conflict do nothing", r.IntN(30), r.room(), r.IntN(4), r.text())
	}
	return fmt.Sprintf("update parts set part = %d, body = %s where id::text like '%%%d'", r.IntN(3), r.text(), r.IntN(10))
}

func (r *run) room() string {
	return r.one("'a'", "'b'", "'c'", "null", "''", "'@11111111-0000-4000-8000-000000000001'", "repeat('é', 40)", "'a b/c?d'")
}

func (r *run) text() string {
	return r.one("'hi'", "null", "''", `E'\x01"\\'`, "repeat('x', 300000)", "'👋'", fmt.Sprintf("'%d'", r.IntN(100)), "'2026-01-01'")
}

func (r *run) json() string { return r.one(`'{"a":"\u0000"}'`, `'[1e400000]'`, `'{}'`, "null") }

func (r *run) number() string { return r.one("1.0", "1.00", "'NaN'", "null", "12345678901234567890.5") }

// ddl changes the tables. What does not fit what came before fails, on both sides.
func (r *run) ddl() string {
	column := r.one("id", "room", "body", "meta", "n", "extra", "thread")
	table := r.one("notes", "notes", "replies", "parts")
	switch r.IntN(9) {
	case 0: // and back, or the day would soon be over
		other := column + "_x"
		return fmt.Sprintf("alter table %s rename %s to %s", table, r.one(column, other), r.one(column, other))
	case 1:
		return fmt.Sprintf("alter table notes alter id type %s using id::text::%[1]s", r.one("text", "int", "bigint", "numeric"))
	case 2:
		return fmt.Sprintf("alter table %s alter body type %s using left(body::text, 100)::%[2]s", table, r.one("text", "varchar(200)", "bytea", "name"))
	case 3:
		return fmt.Sprintf("alter table %s add extra %s", table, r.one("int default 7", "json", "timestamptz default now()", "text generated always as ('x') stored"))
	case 4:
		return fmt.Sprintf("alter table %s drop %s", table, r.one("extra", "extra", "extra", "meta", "n"))
	case 5:
		return fmt.Sprintf("alter table %s rename to %s", r.one("notes", "notes_x"), r.one("notes", "notes_x"))
	case 6:
		return fmt.Sprintf("alter table %s rename to %s", r.one("threads", "threads_x"), r.one("threads", "threads_x"))
	case 7:
		return fmt.Sprintf("create index on %s (%s)", table, column)
	}
	return "alter table notes alter room type " + r.one("text", "varchar(100)", "char(60)")
}

func (r *run) partition() string {
	switch r.IntN(5) {
	case 0:
		return "create table parts_2 partition of parts for values in (2)"
	case 1:
		return "alter table parts detach partition " + r.one("parts_1", "parts_2")
	case 2:
		return strings.ReplaceAll("alter table parts attach partition parts_N for values in (N)", "N", r.one("1", "2"))
	case 3:
		return fmt.Sprintf("insert into parts_%d (id, room, part, body) values ('00000000-0000-4000-8000-0000000000%02d', 'a', %[1]d, 'direct') on conflict do nothing", r.IntN(3), r.IntN(30))
	}
	return fmt.Sprintf("delete from parts_%d where id::text like '%%%d'", r.IntN(3), r.IntN(10))
}

// setting changes what the session's statements run under.
func (r *run) setting() string {
	return "set " + r.one(
		"timezone = 'Asia/Tokyo'", "timezone = 'UTC'", "datestyle = 'German'", "datestyle = 'ISO'", "bytea_output = escape", "bytea_output = hex",
		"intervalstyle = iso_8601", "extra_float_digits = -10", "lock_timeout = '2s'", "enable_hashjoin = off", "enable_mergejoin = off",
		"plan_cache_mode = force_custom_plan", "standard_conforming_strings = on", "xmloption = document", "quote_all_identifiers = on", "check_function_bodies = off",
		"jit = off", "work_mem = '64kB'", "session_replication_role = origin", "default_transaction_isolation = 'read committed'")
}
