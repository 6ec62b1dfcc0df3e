package outbox_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgcron"
	"roomcast/shared/outbox/outboxtest/supabase"
)

// neighbours is what functions of ours ask of a project if it is there, by names that a
// bare database does not know.
const neighbours = `
	create schema vault;
	create table vault.decrypted_secrets (id uuid, name text, decrypted_secret text);
	create table vault.secrets (id uuid, name text);
	create function vault.create_secret(text, text, text default '') returns uuid language sql as 'select gen_random_uuid()';
	create function vault.update_secret(uuid, text default null, text default null) returns void language sql as '';
	create function roomcast.member_info(room text, user_id uuid, claims jsonb) returns jsonb language sql as $$ select '{}'::jsonb $$;
	create extension plpgsql_check`

// TestEveryFunctionChecks has plpgsql_check read every function of the schema: names,
// types and SQL, in the branches that no test runs, too.
func TestEveryFunctionChecks(t *testing.T) {
	url := outboxtest.Chat(t)
	conn := outboxtest.Connect(t, url)
	var available bool
	if err := conn.QueryRow(t.Context(), `select exists (select from pg_available_extensions where name = 'plpgsql_check')`).Scan(&available); err != nil {
		t.Fatal(err)
	}
	if !available {
		notChecked(t, "plpgsql_check is not installed (apt-get install postgresql-15-plpgsql-check)")
	}
	for _, install := range []func(context.Context, string) error{supabase.Install, pgcron.Install} {
		if err := install(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	if err := outboxtest.Exec(t.Context(), url, neighbours); err != nil {
		t.Fatal(err)
	}
	if n := complaints(t, conn, "roomcast"); n < 30 {
		t.Errorf("%d functions were read", n)
	}
	// What it reads, it sees.
	t.Run("a broken function", func(t *testing.T) {
		err := outboxtest.Exec(t.Context(), url, `create schema broken;
			create function broken.never() returns void language plpgsql as $$ begin if false then perform no_such_column from public.messages; end if; end $$`)
		if err != nil {
			t.Fatal(err)
		}
		if found := check(t, conn, "broken"); len(found) != 1 || !strings.Contains(found[0], "no_such_column") {
			t.Errorf("found %q", found)
		}
	})
}

// notChecked skips on a machine that has Postgres from npm, and fails in CI where the
// system's is tested.
func notChecked(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" && os.Getenv("POSTGRES_VERSION") == "" {
		t.Fatal(why)
	}
	fmt.Fprintf(os.Stderr, "NOT CHECKED: %s: %s\n", t.Name(), why)
	t.Skip(why)
}

// complaints fails the test for each of a schema's functions that plpgsql_check finds
// fault with, and returns how many functions it read.
func complaints(t *testing.T, conn *pgx.Conn, schema string) (read int) {
	t.Helper()
	for _, c := range check(t, conn, schema) {
		t.Error(c)
	}
	err := conn.QueryRow(t.Context(), `select count(*) from pg_proc p join pg_language l on l.oid = p.prolang
		where p.pronamespace = $1::regnamespace and l.lanname = 'plpgsql'`, schema).Scan(&read)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// check returns a line for each fault; what an attachment's own SQL may do is its owner's
// word, so EXECUTE is no fault. A trigger's function is read for a table that it
// is on, else for the chat's messages.
func check(t *testing.T, conn *pgx.Conn, schema string) []string {
	t.Helper()
	rows, err := conn.Query(context.WithoutCancel(t.Context()), `
		select format('%s line %s: %s %s %s %s', p.oid::regprocedure, c.lineno, c.level, c.sqlstate, c.message, c.detail)
		from pg_proc p join pg_language l on l.oid = p.prolang
		left join lateral (select tgrelid, tgoldtable::text as old_rows, tgnewtable::text as new_rows from pg_trigger where tgfoid = p.oid and not tgisinternal limit 1) t on true
		cross join lateral plpgsql_check_function_tb(p.oid,
			case when p.prorettype = 'trigger'::regtype then coalesce(t.tgrelid, 'public.messages'::regclass) else 0 end,
			oldtable => t.old_rows, newtable => t.new_rows, extra_warnings => false, performance_warnings => false) c
		where p.pronamespace = $1::regnamespace and l.lanname = 'plpgsql'`, schema)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}
