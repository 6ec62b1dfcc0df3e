package outbox_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
)

// Whatever the database's settings are when a table is attached or its functions are written
// again, they are written as they should be: the chat's statements go through.
func TestAttachUnderAnySetting(t *testing.T) {
	url := outboxtest.Database(t)
	for _, setting := range []string{
		"standard_conforming_strings = off", "quote_all_identifiers = on", "check_function_bodies = off", "plpgsql.extra_errors = 'all'", "array_nulls = off",
		"default_transaction_isolation = serializable", "transform_null_equals = on", "row_security = off", "enable_indexscan = off", "plan_cache_mode = force_custom_plan",
	} {
		if err := outboxtest.Exec(t.Context(), url, `do $$ begin execute 'alter database ' || quote_ident(current_database()) || ' set `+strings.ReplaceAll(setting, "'", "''")+`'; end $$`); err != nil {
			t.Fatal(err)
		}
	}
	if err := outboxtest.InstallChat(context.WithoutCancel(t.Context()), url); err != nil {
		t.Fatal(err)
	}
	if err := admin.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	c := &chat{&outboxtest.Fixture{T: t, URL: url, Conn: outboxtest.Connect(t, url), DB: outboxtest.Open(t, url)}}
	c.Exec(`create table notes (id int primary key, room text, body text)`)
	c.Exec(`select roomcast.attach('notes', name => 'note', room => $1)`, `regexp_replace(r.room, '^\s+', '')`)
	c.Exec(`insert into notes values (1, '  s', 'a')`)
	c.Exec(`insert into notes values (2, 's', 'b'), (3, 's', 'c')`)
	c.Exec(`alter table notes rename body to words`)
	c.Exec(`select roomcast.upkeep()`)
	c.Exec(`update notes set words = 'd' where id = 1`)
	c.Exec(`delete from notes where id = 2`)
	c.Exec(insertMessage, roomA, user1, "hello")
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	c.wantMember(roomA, user1, true)
	if got := one[string](c, `select string_agg(a.name || ' ' || o.op || ' ' || o.room, ', ' order by o.id) from roomcast.outbox o join roomcast.attached_tables a on a.id = o.attached`); got !=
		"note INSERT s, note INSERT s, note INSERT s, note UPDATE s, note DELETE s, message INSERT "+roomA+", member INSERT "+roomA+", member INSERT @"+user1 {
		t.Errorf("captured %s", got)
	}
	c.wantUnroutable()
	if n := len(c.Claim("r")); n != 3 {
		t.Errorf("%d rooms are claimed", n)
	}
}

// A string with a backslash says how that is meant: a session may have it read either way.
func TestBackslashesAreEscapes(t *testing.T) {
	paths, err := filepath.Glob("sql/*.sql")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	literal := regexp.MustCompile(`(\w?)'((?:[^']|'')*)'`)
	comment := regexp.MustCompile(`(?m)--.*$`)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "install.sql") { // psql's own commands
			continue
		}
		for _, m := range literal.FindAllStringSubmatch(comment.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(m[2], `\`) && m[1] != "E" {
				t.Errorf("%s: %.60s", path, m[0])
			}
		}
	}
}
