package outbox_test

import (
	"fmt"
	"strings"
	"testing"

	"roomcast/shared/outbox/outboxtest"
)

// Leaving by UPDATE ends a membership where active says so, and only a listed column that
// changes is an update (M2, M10).
func TestLeavingByUpdate(t *testing.T) {
	c := bare(t, `
		create table people (room text, who uuid, role text, left_at timestamptz, note text, primary key (room, who));
		select roomcast.attach_members('people', room_column => 'room', user_column => 'who', active => 'left_at is null', columns => '{room,who,role}')`)
	member := func(role string) string { return `{"room":"r","who":"` + user1 + `","role":` + role + `}` }
	gone := `{"room":"r","who":"` + user1 + `"}`
	mayRead := func(want bool) {
		t.Helper()
		if got := one[bool](c, `select roomcast.is_member('r', $1)`, user1); got != want {
			t.Errorf("is_member: %v", got)
		}
	}
	c.Exec(`insert into people (room, who) values ('r', $1)`, user1)
	c.wantEvents(`member INSERT r `+member("null"), `member INSERT @`+user1+` `+member("null"))
	mayRead(true)
	c.Exec(`update people set role = 'admin'`)
	c.wantEvents(`member UPDATE r ` + member(`"admin"`))
	c.Exec(`update people set note = 'x'`)
	c.wantEvents()
	c.Exec(`update people set left_at = now(), role = 'x'`)
	c.wantEvents(`member DELETE r `+gone, `member DELETE @`+user1+` `+gone)
	mayRead(false)
	if n := one[int](c, `select count(*) from roomcast.departures where user_id = '`+user1+`'`); n != 1 {
		t.Errorf("%d departures", n)
	}
	c.Exec(`update people set note = 'y'`)
	c.Exec(`delete from people`)
	c.wantEvents()
	c.Exec(`insert into people (room, who, left_at) values ('r', $1, now())`, user1)
	c.wantEvents()
	c.Exec(`update people set left_at = null`)
	c.wantEvents(`member INSERT r `+member("null"), `member INSERT @`+user1+` `+member("null"))
	c.wantUnroutable()
}

// An array column holds a member in each element; who is taken out is told so and cut off
// (M3).
func TestMembersInAnArray(t *testing.T) {
	c := bare(t, `
		create table talks (id int primary key, people uuid[], title text);
		select roomcast.attach_members('talks', room_column => 'id', user_column => 'people')`)
	who := func(user string) string { return `{"id":1,"people":"` + user + `"}` }
	c.Exec(`insert into talks values (1, array[$1, $2, $2, null]::uuid[])`, user1, user2)
	c.wantEvents(`member INSERT 1 `+who(user1), `member INSERT 1 `+who(user2), `member INSERT @`+user1+` `+who(user1), `member INSERT @`+user2+` `+who(user2))
	if !one[bool](c, `select roomcast.is_member('1', $1) and not roomcast.is_member('01', $1) and not roomcast.is_member('2', $1) and not roomcast.is_member('x', $1)`, user2) {
		t.Error("is_member of an array")
	}
	c.Exec(`update talks set people = array[$1]::uuid[], title = 'x'`, user2)
	c.wantEvents(`member DELETE 1 `+who(user1), `member DELETE @`+user1+` `+who(user1))
	if got := one[string](c, `select string_agg(user_id, ',') from roomcast.departures`); got != user1 {
		t.Errorf("departures %s", got)
	}
	if got := one[[]string](c, `select array_agg(m::text) from roomcast.members_of('1') m`); strings.Join(got, ",") != user2 {
		t.Errorf("members %v", got)
	}
	if got := one[[]string](c, `select array_agg(r) from roomcast.rooms_of($1) r`, user2); strings.Join(got, ",") != "1" {
		t.Errorf("rooms %v", got)
	}
}

// Only the column's own spelling of a room is a member's room, whatever a cast makes of
// others (S5).
func TestOnlyTheOwnSpellingIsARoom(t *testing.T) {
	for kind, room := range map[string]string{"varchar(8)": "roomroom", "char(8)": "roomroom", "int": "1", "numeric": "1.0", "uuid": roomA, "timestamptz": "2026-01-01 00:00:00+00"} {
		c := bare(t, `create table people (room `+kind+`, user_id uuid); select roomcast.attach_members('people', room_column => 'room')`)
		c.Exec(`set timezone = 'UTC'`)
		c.Exec(`insert into people values ('`+room+`', $1)`, user1)
		if !one[bool](c, `select roomcast.is_member($1, $2)`, room, user1) {
			t.Errorf("%s: %s is no room", kind, room)
		}
		for _, other := range []string{room + "-secret", room + " ", " " + room, "0" + room, "+" + room, strings.ToUpper(room) + "x", "{" + room + "}", "1.00", "today"} {
			if one[bool](c, `select roomcast.is_member($1, $2)`, other, user1) {
				t.Errorf("%s: %q passes for %q", kind, other, room)
			}
		}
		if kind == "uuid" && one[bool](c, `select roomcast.is_member($1, $2)`, strings.ToUpper(room), user1) {
			t.Error("a uuid in capitals passes")
		}
	}
}

// attach_members asks for columns by which people seem to leave.
func TestColumnsByWhichPeopleLeave(t *testing.T) {
	c := bare(t, `create table people (room text, user_id uuid, left_at timestamptz, status text)`)
	notices := outboxtest.Notices(t, c.URL, `set client_min_messages = warning;
		select roomcast.attach_members('people', room_column => 'room');
		select roomcast.attach_members('people', room_column => 'room', active => 'left_at is null');
		select roomcast.attach_members('people', room_column => 'room', active => $$r.left_at is null and status = 'in'$$)`)
	if len(notices) != 2 || !strings.Contains(notices[0], "left_at, status") || strings.Contains(notices[1], "left_at,") || !strings.Contains(notices[1], "status") {
		t.Errorf("warned: %q", notices)
	}
}

// Nor are those silent that nobody could be a member by: names as Prisma writes them,
// bans, and users by a number of the chat's own.
func TestMembersThatNobodyIs(t *testing.T) {
	c := bare(t, `create table people (room text, "userId" bigint, "leftAt" timestamptz, is_banned boolean)`)
	notices := outboxtest.Notices(t, c.URL, `set client_min_messages = warning;
		select roomcast.attach_members('people', room_column => 'room', user_column => 'userId')`)
	if len(notices) != 2 || !strings.Contains(notices[0], "leftAt, is_banned") || !strings.Contains(notices[1], "people.userId is bigint") {
		t.Errorf("warned: %q", notices)
	}
}

// Capture is switched off by the schema's owner and its members, and by nobody else (S10).
func TestOnlyTheOwnerSwitchesCaptureOff(t *testing.T) {
	c := newChat(t)
	c.Exec(`do $$ begin create role some_chatter; exception when duplicate_object then null; end $$`)
	c.Exec(`grant usage on schema public to some_chatter; grant all on messages, room_participants to some_chatter`)
	c.Exec(`set role some_chatter`)
	c.Exec(`set roomcast.capture = 'off'`)
	c.Exec(insertMessage, roomA, user1, "not hidden")
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	c.Exec(`delete from room_participants`)
	c.Exec(`reset role`)
	if got := c.events(); len(got) != 5 {
		t.Errorf("captured:\n%s", lines(got))
	}
	c.Exec(insertMessage, roomA, user1, "an import")
	c.wantEvents()
	if n := one[int](c, `select count(*) from roomcast.capture_skips s, messages m where s.xmin = m.xmin and m.content = 'an import'`); n != 1 {
		t.Error("the import is not noted")
	}
}

// What SQL of the team's sends stands in order with the rest, and is not anybody's to send.
func TestSend(t *testing.T) {
	c := newChat(t)
	c.Exec(`begin`)
	c.Exec(insertMessage, roomA, user1, "before")
	c.Exec(`select roomcast.send($1, 'poll-closed', '{"id": 7}')`, roomA)
	c.Exec(insertMessage, roomA, user1, "behind")
	c.Exec(`select roomcast.send_to_user($1, 'invited')`, user2)
	c.Exec(`select roomcast.send('@x', 'odd')`)
	c.Exec(`commit`)
	got := c.events()
	if len(got) != 5 || got[1] != `poll-closed SEND `+roomA+` {"id": 7}` || got[3] != `invited SEND @`+user2+` {}` || got[4] != `odd SEND @@x {}` {
		t.Errorf("captured:\n%s", lines(got))
	}
	for _, call := range []string{
		`send('r', 'pusher:ping')`, `send('r', 'client-typing')`, `send('r', '')`, `send('r', null)`, `send('', 'x')`, `send(null, 'x')`,
		`send('r', 'x', '[]')`, `send('r', 'roomcast')`, `send(repeat('é', 26), 'x')`, `send_to_user(null, 'x')`,
	} {
		_ = c.refused(`select roomcast.` + call)
	}
	c.Exec(`do $$ begin create role some_chatter; exception when duplicate_object then null; end $$`)
	c.Exec(`set role some_chatter`)
	_ = c.refused(`select roomcast.send('r', 'x')`)
}

// One row that names many users is as many changes: its room hears of them once, each user
// in person.
func TestManyMembersInAnArray(t *testing.T) {
	c := bare(t, `
		create table talks (id int primary key, people uuid[], title text);
		select roomcast.attach_members('talks', room_column => 'id', user_column => 'people')`)
	told := func(op string, users int) {
		t.Helper()
		if got := one[string](c, `select string_agg(o.op || ' ' || o.n, ', ' order by o.op) from (
			select case when room ~ '^@' then 'in person' else record end as op, count(*) as n from roomcast.outbox group by 1) o`); got !=
			fmt.Sprintf(`in person %[2]d, {"name":"member","op":"%[1]s","count":%[2]d} 1`, op, users) {
			t.Errorf("told %s", got)
		}
		c.Exec(`delete from roomcast.outbox`)
	}
	c.Exec(`insert into talks select 1, array_agg(gen_random_uuid()) from generate_series(1, 300)`)
	told("INSERT", 300)
	c.Exec(`update talks set title = 'x'`)
	c.wantEvents()
	c.Exec(`update talks set people = people[1:20]`)
	told("UPDATE", 280)
	if n := one[int](c, `select count(*) from roomcast.departures`); n != 280 {
		t.Errorf("%d departures", n)
	}
	c.Exec(`update talks set people = people[1:18]`)
	if got := c.events(); len(got) != 4 {
		t.Errorf("captured\n%s", lines(got))
	}
	c.wantUnroutable()
}
