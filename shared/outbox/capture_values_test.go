package outbox_test

import (
	"fmt"
	"strings"
	"testing"
)

// No value of a row makes the chat's statement fail, and each event carries what can be
// carried (D1, D2, D4).
func TestValuesThatDoNotConvert(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text, body json, secret json);
		select roomcast.attach('notes', name => 'note', room => 'room', columns => '{id,room,body}')`)
	c.Exec(`insert into notes values (1, 'r', '{"a":"\u0000"}', '{"x":"\u0000"}')`)
	c.wantEvents(`note INSERT r {"id":1,"room":"r","body":{"a":"\u0000"}}`)
	c.Exec(`update notes set body = '[1e400000]'`)
	c.wantEvents(`note UPDATE r {"id":1,"room":"r","body":[1e400000]}`)
	c.Exec(`update notes set secret = '[1e400000]'`)
	c.wantEvents()
	c.Exec(`set roomcast.capture = 'off'`)
	c.Exec(`update notes set body = '"\u0000"'`)
	c.Exec(`reset roomcast.capture`)
	c.Exec(`delete from notes`)
	c.wantEvents(`note DELETE r {"id":1,"room":"r"}`)
	c.wantUnroutable()
}

// A type whose cast to json raises makes a stub; the client then reads the row itself.
func TestTypeWhoseCastRaises(t *testing.T) {
	c := bare(t, `
		create type public.mood as enum ('glad', 'sad');
		create function public.never(public.mood) returns json language plpgsql as $$ begin raise exception 'no json of a mood'; end $$;
		create cast (public.mood as json) with function public.never(public.mood);
		create table notes (id int primary key, room text, mood public.mood);
		select roomcast.attach('notes', name => 'note', room => 'room')`)
	c.Exec(`insert into notes values (1, 'r', 'glad')`)
	c.wantEvents(`note INSERT r {"id":1,"room":"r"} stub`)
	c.Exec(`insert into notes select i, 'r', 'glad'::public.mood from generate_series(2, 4) i`)
	c.wantEvents(`note INSERT r {"id":2,"room":"r"} stub`, `note INSERT r {"id":3,"room":"r"} stub`, `note INSERT r {"id":4,"room":"r"} stub`)
	c.Exec(`update notes set mood = 'sad' where id < 3`)
	c.wantEvents(`note UPDATE r {"id":1,"room":"r"} stub`, `note UPDATE r {"id":2,"room":"r"} stub`)
	c.Exec(`delete from notes`)
	if got := c.events(); len(got) != 4 {
		t.Errorf("deleted: %v", got)
	}
	c.wantUnroutable()
}

// What has no room, no key or a room that no channel can carry is counted, by statement
// and reason; the other rows of the statement go on.
func TestUnroutableIsCounted(t *testing.T) {
	c := bare(t, `
		create table notes (id int, room text, body text);
		select roomcast.attach('notes', name => 'note', room => 'room', columns => '{id,room}', ids => '{id}')`)
	c.Exec(`insert into notes select 1, string_agg(md5(i::text), '') from generate_series(1, 94) i`)
	c.wantUnroutable(`INSERT 1 a room too long for a channel`)
	c.Exec(`insert into notes values (1, ''), (2, null), (3, null), (null, 'r'), (5, repeat('é', 26)), (6, repeat('é', 25)), (7, repeat('a', 151))`)
	c.wantEvents(fmt.Sprintf(`note INSERT %[1]s {"id":6,"room":"%[1]s"}`, strings.Repeat("é", 25)), fmt.Sprintf(`note INSERT %[1]s {"id":7,"room":"%[1]s"}`, strings.Repeat("a", 151)))
	c.wantUnroutable(`INSERT 1 a column of ids is null`, `INSERT 1 a room too long for a channel`, `INSERT 1 an empty room`, `INSERT 2 no room`)
	c.Exec(`update notes set id = 9 where room = 'r'`)
	c.wantEvents(`note INSERT r {"id":9,"room":"r"}`)
	c.Exec(`delete from notes where room is null`)
	c.unroutable()
	// However many statements: bounded.
	c.Exec(`do $$ begin for i in 1 .. 300 loop insert into notes values (i, null); end loop; end $$`)
	c.Exec(`select roomcast.fold_unroutable(1000)`)
	c.wantUnroutable(`INSERT 300 no room`)
}

// No room id, whatever a chat user writes, is the key of a personal stream.
func TestRoomsAreNoUsers(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text);
		select roomcast.attach('notes', name => 'note', room => 'room', columns => '{id}');
		select roomcast.attach('notes', name => 'told', users => 'room', columns => '{id}')`)
	c.Exec(`insert into notes values (1, '@` + user1 + `')`)
	c.wantEvents(`note INSERT @@` + user1 + ` {"id":1}`)
	c.wantUnroutable(`INSERT 1 no room`)
	c.Exec(`insert into notes values (2, '` + strings.ToUpper(user1) + `')`)
	if got := c.events(); len(got) != 2 || got[1] != `told INSERT @`+user1+` {"id":2}` && got[0] != `told INSERT @`+user1+` {"id":2}` {
		t.Errorf("captured %v", got)
	}
}

// A row of over 256 kB is kept as its ids, without being converted.
func TestLargeRowsAreStubs(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text, body text);
		select roomcast.attach('notes', name => 'note', room => 'room')`)
	const large = `(select string_agg(md5(i::text), '') from generate_series(1, 32000) i)`
	c.Exec(`insert into notes values (1, 'r', ` + large + `)`)
	c.Exec(`insert into notes select i, 'r', ` + large + ` from generate_series(2, 3) i`)
	c.Exec(`insert into notes values (4, 'r', repeat(E'\x01', 60000))`) // six bytes each as JSON
	c.wantEvents(`note INSERT r {"id":1,"room":"r"} stub`, `note INSERT r {"id":2,"room":"r"} stub`, `note INSERT r {"id":3,"room":"r"} stub`, `note INSERT r {"id":4,"room":"r"} stub`)
	c.Exec(`update notes set body = 'short' where id = 1`)
	c.wantEvents(`note UPDATE r {"id":1,"room":"r","body":"short"}`)
}

// The same bytes, whatever the session (D25).
func TestBytesDoNotDependOnTheWriter(t *testing.T) {
	c := bare(t, `
		create table notes (id bytea primary key, room text, iv interval, days daterange, f float8, at timestamptz);
		select roomcast.attach('notes', name => 'note', room => 'room')`)
	insert := `insert into notes values ('\x00ff', 'r', '1 day 2 hours', '[2026-01-01,2026-02-01)', 0.1::float8 + 0.2, '2026-01-01 00:00:00+00')`
	c.Exec(insert)
	want := c.events()
	c.Exec(`delete from notes`)
	c.events()
	c.Exec(`set bytea_output = escape`)
	c.Exec(`set intervalstyle = iso_8601`)
	c.Exec(`set datestyle = 'German'`)
	c.Exec(`set extra_float_digits = -10`)
	c.Exec(`set timezone = 'Asia/Tokyo'`)
	c.Exec(insert)
	got := c.events()
	if len(got) != 1 || got[0] != want[0] {
		t.Errorf("captured %s, want %s", lines(got), lines(want))
	}
	c.Exec(insert + ` on conflict do nothing`)
	c.Exec(`delete from notes`)
	c.wantEvents(`note DELETE r {"id":"\\x00ff","room":"r"}`)
	// A deletion in another session's style finds the text that it takes away.
	c.Exec(insert)
	c.Exec(`reset all`)
	c.Exec(`delete from notes`)
	c.wantEvents(`note DELETE r {"id":"\\x00ff","room":"r"}`, `note DELETE r {"id":"\\x00ff","room":"r"}`)
}

// An edit that nothing but the eye tells from the former value is an edit: equal is what
// has the same bytes.
func TestEqualIsNotTheSame(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text, n numeric, j jsonb, p point, unlisted int);
		select roomcast.attach('notes', name => 'note', room => 'room', columns => '{id,n,j,p}')`)
	c.Exec(`insert into notes values (1, 'r', 1.0, '{"a": 1}', '(1,2)', 0)`)
	c.events()
	c.Exec(`update notes set n = 1.00`)
	c.wantEvents(`note UPDATE r {"id":1,"n":1.00,"j":{"a": 1},"p":"(1,2)"}`)
	c.Exec(`update notes set j = '{"a": 1}', p = '(1,2)', n = 1.00, unlisted = 7`)
	c.wantEvents()
}

// A statement that runs out of its own time ends as it would without us, not swallowed.
func TestCancelledStatementIsCancelled(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text);
		create function public.slow(text) returns text language plpgsql as $$ begin perform pg_sleep(30); return $1; end $$;
		select roomcast.attach('notes', name => 'note', room => 'public.slow(r.room)')`)
	c.Exec(`set statement_timeout = '200ms'`)
	if err := c.refused(`insert into notes values (1, 'r')`); err != nil && !strings.Contains(err.Error(), "57014") {
		t.Error(err)
	}
}

// A column may have any name, those of our own texts, too.
func TestColumnsNamedLikeOurOwn(t *testing.T) {
	names := strings.Fields(`data ids was is_now former x r e q t k s o w b c f p room_key key member value here op record json old stub one more start size taken flow many crowded counts faults begun moved row n new_rows old_rows source lateral`)
	var columns []string
	for _, name := range names {
		columns = append(columns, `"`+name+`" int`)
	}
	c := bare(t, `
		create table halls (id int primary key, data text);
		insert into halls values (1, 'h');
		create table notes (id int primary key, room text, `+strings.Join(columns, ", ")+`);
		select roomcast.attach('notes', name => 'note', room => 'room', columns => '{id,data}', old => '{data}');
		select roomcast.attach('notes', name => 'all', room => 'select h.data from public.halls h where h.id = r.data');
		select roomcast.attach('notes', name => 'users', users => 'array[r.id::text]', columns => '{id}')`)
	want := func(op, rest string) {
		t.Helper()
		got := c.events()
		for len(got) > 0 && !strings.HasPrefix(got[0], "note "+op) {
			got = got[1:]
		}
		if len(got) < 2 || got[0] != "note "+op+rest || !strings.HasPrefix(got[1], `all `+op+` h {"id":1`) {
			t.Errorf("%s captured:\n%s", op, lines(got))
		}
	}
	c.Exec(`insert into notes (id, room, data, ids) values (1, 'r', 1, 7)`)
	want("INSERT", ` r {"id":1,"data":1}`)
	c.Exec(`update notes set "was" = 1, "x" = 2`)
	if got := c.events(); len(got) != 1 || !strings.HasPrefix(got[0], "all UPDATE h ") || !strings.Contains(got[0], `"was":1`) {
		t.Errorf("captured:\n%s", lines(got))
	}
	c.Exec(`insert into halls values (2, 'h')`)
	c.Exec(`update notes set data = 2`)
	want("UPDATE", ` r {"id":1,"data":2} {"data":1}`)
	c.Exec(`delete from notes`)
	want("DELETE", ` r {"id":1} {"data":2}`)
	if got := c.unroutable(); len(got) != 2 { // whose id is no user
		t.Errorf("unroutable:\n%s", lines(got))
	}
}
