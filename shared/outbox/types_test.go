package outbox_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
)

// types that tests of columns use.
const typesOfTests = `
	create extension citext; create extension ltree;
	create domain public.uid as uuid; create domain public.uid_of_uid as public.uid check (value is not null);
	create domain public.short as varchar(20); create domain public.word as text; create domain public.number as bigint;
	create domain public.uids as uuid[]; create domain public.ci as citext; create domain public.moment as timestamptz;
	create domain public.small_uids as public.uids check (cardinality(value) < 100);
	create type public.hall as enum ('lobby', 'attic'); create domain public.open_hall as public.hall;
	create type public.place as (street text, n int);`

// Tokens' uuids fit into many types, domains among them: a user with a row is a member, and
// nothing is said. Where they do not fit, attach and doctor say so.
func TestColumnsOfUsers(t *testing.T) {
	for kind, value := range map[string]string{
		"uuid": "%s", "public.uid": "%s", "public.uid_of_uid": "%s", "text": "%s", "public.word": "%s", "char(36)": "%s", "varchar(36)": "%s", "name": "%s",
		"citext": "%s", "public.ci": "%s", "uuid[]": "{%s}", "public.uid[]": "{%s}", "public.uid_of_uid[]": "{%s}", "public.uids": "{%s}", "public.small_uids": "{%s}",
		"text[]": "{%s}", "public.word[]": "{%s}", "citext[]": "{%s}",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := bare(t, typesOfTests+fmt.Sprintf(`create table people (id int primary key, room text, who %s)`, kind))
			if said := outboxtest.Notices(t, c.URL, `select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`); len(said) > 0 {
				t.Errorf("%q", said)
			}
			c.Exec(fmt.Sprintf(`insert into people values (1, 'r', '%s')`, fmt.Sprintf(value, user1)))
			c.wantMember("r", user1, true)
			c.wantMember("r", user2, false)
			c.wantMember("s", user1, false)
			if got := one[[]bool](c, `select roomcast.are_members(array['r', 'r'], array[$1, $2]::uuid[])`, user1, user2); !got[0] || got[1] {
				t.Errorf("are_members: %v", got)
			}
			if got := one[[]string](c, `select array(select m::text from roomcast.members_of('r') m)`); strings.Join(got, " ") != user1 {
				t.Errorf("members_of: %v", got)
			}
			if got := one[[]string](c, `select array(select roomcast.rooms_of($1))`, user1); strings.Join(got, " ") != "r" {
				t.Errorf("rooms_of: %v", got)
			}
			if got := c.events(); len(got) != 2 {
				t.Errorf("captured\n%s", lines(got))
			}
			c.Exec(fmt.Sprintf(`insert into people values (2, 'r', '%s')`, fmt.Sprintf(value, user1)))
			c.Exec(`delete from people where id = 1`)
			if n := c.count("DELETE"); n != 0 {
				t.Errorf("%d deletions are told, and one row is left", n)
			}
			c.Exec(`delete from people`)
			c.wantMember("r", user1, false)
			if n := one[int](c, `select count(*) from roomcast.departures where user_id = $1 and room is null`, user1); n != 1 {
				t.Errorf("%d departures", n)
			}
			c.wantUnroutable()
		})
	}
	for _, kind := range []string{"int", "public.number", "jsonb", "public.short", "varchar(35)", "public.hall", "numeric[]", "public.place", "bytea"} {
		c := bare(t, typesOfTests+fmt.Sprintf(`create table people (room text, who %s)`, kind))
		if said := strings.Join(outboxtest.Notices(t, c.URL, `select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`), "\n"); !strings.Contains(said, "nobody is a member by it") {
			t.Errorf("%s: %q", kind, said)
		}
	}
}

// A uuid that a shorter column would cut makes nobody a member.
func TestCutUsersAreNobody(t *testing.T) {
	c := bare(t, `create table people (room text, who varchar(8)); select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`)
	c.Exec(`insert into people values ('r', left($1, 8))`, user1)
	c.wantMember("r", user1, false)
}

// Rooms may have any type that is equal to itself: domains, enums, composites, ranges, an
// extension's; and may be generated.
func TestColumnsOfRooms(t *testing.T) {
	for kind, value := range map[string]string{
		"public.uid": roomA, "public.uid_of_uid": roomA, "public.word": "w", "public.short": "abc", "public.number": "7", "citext": "Lobby", "public.ci": "Lobby",
		"ltree": "top.lobby", "public.hall": "lobby", "public.open_hall": "attic", "public.place": "(main,3)", "int4range": "[1,5)", "numeric(10,2)": "3.50", "bit(3)": "101",
		"char(4)": "abcd", "text generated always as ('g' || id::text) stored": "g1", "inet": "10.0.0.1/32", "date": "2026-01-01", "boolean": "true",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := bare(t, typesOfTests+fmt.Sprintf(`create table people (id int primary key, room %[1]s, who public.uid); create table notes (id int primary key, room %[1]s, body text);
				create table rooms (room %[2]s primary key)`, kind, strings.Split(kind, " generated")[0]))
			c.Exec(`select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`)
			c.Exec(`select roomcast.attach_messages('notes', room_column => 'room')`)
			columns, quoted := "(id, room, who)", "'"+value+"', "
			if strings.Contains(kind, "generated") {
				columns, quoted = "(id, who)", ""
			}
			c.Exec(`insert into people ` + columns + ` values (1, ` + quoted + `'` + user1 + `')`)
			c.wantMember(value, user1, true)
			c.wantMember(strings.ToUpper(value)+"x", user1, false)
			if got := one[[]bool](c, `select roomcast.are_members(array[$1], array[$2]::uuid[])`, value, user1); !got[0] {
				t.Error("are_members")
			}
			if got := one[[]string](c, `select array(select m::text from roomcast.members_of($1) m)`, value); strings.Join(got, " ") != user1 {
				t.Errorf("members_of: %v", got)
			}
			c.Exec(`insert into notes ` + strings.Replace(columns, "who", "body", 1) + ` values (1, ` + quoted + `'hi')`)
			c.Exec(`update notes set body = 'ho'`)
			c.Exec(`delete from notes`)
			c.Exec(`delete from people`)
			if got := one[string](c, `select string_agg(o.room || ' ' || a.name || ' ' || o.op, ', ' order by o.id) from roomcast.outbox o join roomcast.attached_tables a on a.id = o.attached where o.room !~ '^@'`); got !=
				value+" member INSERT, "+value+" message DELETE, "+value+" message DELETE, "+value+" message DELETE, "+value+" member DELETE" {
				t.Errorf("captured %s", got)
			}
			if n := one[int](c, `select count(*) from roomcast.departures where user_id = $1`, user1); n != 1 {
				t.Errorf("%d departures", n)
			}
			c.wantUnroutable()
		})
	}
}

// Members who go with their room are not disconnected, whatever types both have.
func TestRoomsThatAreGone(t *testing.T) {
	for kind, value := range map[string]string{"public.uid": roomA, "ltree": "a.b", "citext": "Lobby", "public.hall": "lobby"} {
		c := bare(t, typesOfTests+fmt.Sprintf(`create table rooms (id %[1]s primary key); create table people (room %[1]s references rooms on delete cascade, who uuid, primary key (room, who));
			select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`, kind))
		c.Exec(`insert into rooms values ('` + value + `')`)
		c.Exec(`insert into people values ('`+value+`', $1)`, user1)
		c.Exec(`delete from rooms`)
		if n := one[int](c, `select count(*) from roomcast.departures`); n != 0 {
			t.Errorf("%s: %d are to be disconnected", kind, n)
		}
	}
}

// The audit finds the column of the time, and of the numbers, behind a domain; revoke writes
// the room as the table has it.
func TestDomainsInTheAudit(t *testing.T) {
	c := bare(t, typesOfTests+`create sequence s;
		create table notes (id uuid primary key default gen_random_uuid(), room text, written public.moment default now());
		create table numbered (id public.number primary key default nextval('s'), room text);
		alter sequence s owned by numbered.id;
		create table people (room public.number, who public.uid);
		select roomcast.attach_messages('notes', room_column => 'room'), roomcast.attach('numbered', name => 'x', room => 'room'),
		       roomcast.attach_members('people', room_column => 'room', user_column => 'who'), roomcast.auditing('notes', time_column => 'written')`)
	c.Exec(`update roomcast.attached_tables set time_column = null`)
	if got := one[string](c, `select string_agg(note, ', ' order by note) from roomcast.audit() where problem = 'missing'`); got != "by id, by written" {
		t.Errorf("audited %s", got)
	}
	c.Exec(`select roomcast.revoke('7', $1)`, user1)
	if got := one[string](c, `select record from roomcast.outbox where room = '7'`); got != `{"who": "`+user1+`", "room": 7}` {
		t.Errorf("revoked %s", got)
	}
}

// Money is written as the session has it, in domains, arrays and composites, too: capture
// pins that where there may be any, and nowhere else.
func TestMoneyInside(t *testing.T) {
	for kind, pinned := range map[string]bool{"money": true, "public.price": true, "public.price[]": true, "public.bill": true, "interval": false, "jsonb": false} {
		c := bare(t, `create domain public.price as money; create type public.bill as (total money);
			create table notes (id int primary key, room text, price `+kind+`); select roomcast.attach('notes', name => 'note', room => 'room')`)
		if got := one[bool](c, `select bool_and(coalesce('lc_monetary=C' = any (p.proconfig), false)) from pg_proc p where p.proname ~ '^capture_\d+_(insert|update|delete)$'
			and exists (select from pg_trigger t where t.tgfoid = p.oid and t.tgrelid = 'notes'::regclass)`); got != pinned {
			t.Errorf("%s: pinned is %v", kind, got)
		}
	}
}

// Columns may be called what Postgres takes: quotes, percent signs, backslashes, braces, in
// any script, and as long as names can be.
func TestColumnsOfAnyName(t *testing.T) {
	for _, name := range []string{`we"ird %s \ col`, `{room}`, `"`, `r`, `select`, `Größe`, strings.Repeat("é", 31), `a.b`, `$1`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quoted := pgx.Identifier{name}.Sanitize()
			c := bare(t, `create table people (`+quoted+` text, "u""x" uuid, "{user}" int); create table notes ("i""d" int primary key, `+quoted+` text)`)
			c.Exec(`select roomcast.attach_members('people', room_column => $1, user_column => 'u"x')`, name)
			c.Exec(`select roomcast.attach_messages('notes', room_column => $1)`, name)
			if got := one[string](c, `select string_agg(room_column, ' ' order by id) from roomcast.attached_tables where detached_at is null`); got != name+" "+name {
				t.Errorf("the rooms' columns are %s", got)
			}
			c.Exec(`insert into people values ('q', $1)`, user1)
			c.Exec(`insert into notes values (1, 'q')`)
			c.wantMember("q", user1, true)
			if got := one[string](c, `select roomcast.members_of('q')::text || (select string_agg(x, '') from roomcast.rooms_of($1) x)`, user1); got != user1+"q" {
				t.Errorf("listed %s", got)
			}
			c.Exec(`delete from people`)
			c.Exec(`delete from notes`)
			if n := one[int](c, `select count(*) from roomcast.outbox where room = 'q'`); n != 4 {
				t.Errorf("%d events", n)
			}
			c.wantUnroutable()
		})
	}
}
