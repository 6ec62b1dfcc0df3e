package admin_test

import (
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
)

// install.sql names every other file, and psql applies it, twice.
func TestInstallByPSQL(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("NOT TESTED: psql is not installed")
	}
	text, err := os.ReadFile("../outbox/sql/install.sql")
	if err != nil {
		t.Fatal(err)
	}
	named := []string{"install.sql"}
	for _, m := range regexp.MustCompile(`(?m)^\\ir (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		named = append(named, m[1])
	}
	all, err := filepath.Glob("../outbox/sql/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if !slices.Contains(named, filepath.Base(path)) {
			t.Errorf("install.sql does not name %s", path)
		}
	}
	address := outboxtest.Database(t)
	for range 2 {
		cmd := exec.CommandContext(t.Context(), psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "../outbox/sql/install.sql", address)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
	}
}

// A database in which rows may hold bytes that no claim could convert is refused, by psql,
// too.
func TestOnlyUTF8(t *testing.T) {
	psql, noPSQL := exec.LookPath("psql")
	for _, encoding := range []string{"SQL_ASCII", "LATIN1"} {
		name := "encoding_" + strings.ToLower(encoding)
		if err := outboxtest.Exec(t.Context(), outboxtest.Database(t), `create database `+name+` encoding '`+encoding+`' template template0 lc_collate 'C' lc_ctype 'C'`); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(outboxtest.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + name
		if err := admin.Migrate(t.Context(), u.String()); !errors.Is(err, admin.ErrEncoding) || !strings.Contains(err.Error(), encoding) {
			t.Errorf("%s: %v", encoding, err)
		}
		if noPSQL != nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "../outbox/sql/install.sql", u.String())
		cmd.Env = append(os.Environ(), "PGCLIENTENCODING=UTF8")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "needs one in UTF8") {
			t.Errorf("psql: %v\n%s", err, out)
		}
	}
}

// Who may create temporary objects can put a type before ours in the search path of a
// function that does not pin it, and have code run with its owner's rights.
func TestFunctionsPinTheirSearchPath(t *testing.T) {
	c := newChat(t)
	var names []string
	rows, err := c.Conn.Query(t.Context(), `select p.oid::regprocedure::text from pg_proc p
		where p.pronamespace = 'roomcast'::regnamespace and p.prokind <> 'a'
		  and not coalesce(p.proconfig, '{}') @> array['search_path=pg_catalog, pg_temp']`)
	if err == nil {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil || len(names) > 0 {
		t.Errorf("functions without search_path = pg_catalog, pg_temp: %v, %v", names, err)
	}
	if n := one[int](c, `select count(*) from pg_proc where pronamespace = 'roomcast'::regnamespace`); n < 40 {
		t.Errorf("only %d functions", n)
	}
}

// A publication for all tables refuses updates and deletions of a table without a key.
func TestTablesHaveKeys(t *testing.T) {
	c := newChat(t)
	if n := one[int](c, `select count(*) from pg_class k where k.relnamespace = 'roomcast'::regnamespace and k.relkind = 'r'
		and not exists (select from pg_index i where i.indrelid = k.oid and i.indisprimary)`); n > 0 {
		t.Errorf("%d tables have no primary key", n)
	}
}
