package outbox_test

import (
	"strings"
	"testing"

	"roomcast/shared/admin"
)

// What cannot be relayed, or not so, is refused by the name of the field, with what to do.
func TestAttachNamesTheField(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text, body text);
		create table keyless (room text);
		create view seen as select * from notes;
		create table parent (id int primary key, room text);
		create table child () inherits (parent);
		create table "dotted.name" (id int primary key, room text);
		create collation ignorant (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		create table lobbies (id int primary key, room text collate ignorant);
		select roomcast.attach('notes', name => 'taken', room => 'room')`)
	for sql, want := range map[string]string{
		`attach('nothing', name => 'x', room => 'room')`:                                         "no table nothing",
		`attach('seen', name => 'x', room => 'room')`:                                            "is a view",
		`attach('pg_catalog.pg_class', name => 'x', room => 'relname')`:                          "no table of a chat",
		`attach_messages('roomcast.outbox')`:                                                     "no table of a chat",
		`attach('parent', name => 'x', room => 'room')`:                                          "",
		`attach('lobbies', name => 'x', room => 'room')`:                                         "nondeterministic",
		`attach('lobbies', name => 'x', room => 'lower(r.room)')`:                                "nondeterministic",
		`attach('keyless', name => 'x', room => 'room')`:                                         "no primary key",
		`attach('"dotted.name"', name => 'x', room => 'room')`:                                   "",
		`attach('notes', name => 'x')`:                                                           "room, users: name one",
		`attach('notes', name => 'x', room => 'room', users => 'room')`:                          "room, users: name one",
		`attach('notes', name => 'member', room => 'room')`:                                      "attach_members",
		`attach('notes', name => 'New Note', room => 'room')`:                                    "name:",
		`attach('notes', name => null, room => 'room')`:                                          "name:",
		`attach('notes', name => 'x', room => 'r.raum')`:                                         "room: column r.raum does not exist",
		`attach('notes', name => 'x', room => 'select room from notes')`:                         `room: relation "notes" does not exist`,
		`attach('notes', name => 'x', room => 'room; drop table notes')`:                         "room: must be one SQL expression",
		`attach('notes', name => 'x', room => 'r.room) q, (select 1')`:                           "room: ",
		`attach('notes', name => 'x', room => 'r.room --')`:                                      "",
		`attach('notes', name => 'x', users => 'r.nobody')`:                                      "users: column r.nobody does not exist",
		`attach('notes', name => 'x', room => 'room', columns => '{room}')`:                      "columns: must include",
		`attach('notes', name => 'x', room => 'room', columns => '{id,nix}')`:                    "columns: public.notes has no column nix",
		`attach('notes', name => 'x', room => 'room', ids => '{nix}')`:                           "ids: public.notes has no column nix",
		`attach('notes', name => 'x', room => 'room', columns => '{id}', old => '{body}')`:       "old: must be among columns",
		`attach_members('notes', room_column => 'room', user_column => 'body', active => 'nix')`: "active: column",
	} {
		_, err := c.Conn.Exec(t.Context(), `select roomcast.`+sql)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", sql, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", sql, err, want)
		}
	}
	if c.Exec(`insert into notes values (1, 'r', 'b')`); len(c.events()) != 2 {
		t.Error("what is attached well is not captured")
	}
}

// A generated column of which triggers see nothing is refused, where Postgres has it (D26).
func TestVirtualGeneratedColumns(t *testing.T) {
	c := bare(t, ``)
	if one[int](c, `select current_setting('server_version_num')::int`) < 180000 {
		c.Exec(`create table notes (id int primary key, a text, room text generated always as (a || '!') stored)`)
		c.Exec(`select roomcast.attach('notes', name => 'note', room => 'room')`)
		c.Exec(`insert into notes values (1, 'a')`)
		c.wantEvents(`note INSERT a! {"id":1,"a":"a","room":"a!"}`)
		return
	}
	c.Exec(`create table notes (id int primary key, a text, room text generated always as (a || '!') virtual)`)
	for _, sql := range []string{
		`select roomcast.attach('notes', name => 'note', room => 'room')`,
		`select roomcast.attach('notes', name => 'note', room => 'upper(r.room)')`,
		`select roomcast.attach('notes', name => 'note', room => 'a', columns => '{id,room}')`,
	} {
		if err := c.refused(sql); err != nil && !strings.Contains(err.Error(), "VIRTUAL") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	c.Exec(`select roomcast.attach('notes', name => 'note', room => 'r.a || ''!''')`)
	c.Exec(`insert into notes (id, a) values (1, 'a')`)
	c.wantEvents(`note INSERT a! {"id":1,"a":"a"}`)
}

// Another role than the schema's cannot make what the schema's could not replace (D21).
func TestAttachByAnotherRole(t *testing.T) {
	c := bare(t, `create table notes (id int primary key, room text)`)
	c.Exec(`do $$ begin create role second_superuser superuser; exception when duplicate_object then null; end $$`)
	c.Exec(`set role second_superuser`)
	for _, sql := range []string{`select roomcast.attach('notes', name => 'note', room => 'room')`, `select roomcast.detach('notes')`} {
		if err := c.refused(sql); err != nil && !strings.Contains(err.Error(), "roomcast belongs to the role") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// A table goes under several names to several places; a look-up whose parent went first
// falls back to where the row was sent (M4, M5, M6).
func TestOneTableUnderManyNames(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text);
		create table stars (note int references notes on delete cascade, who uuid, kind text, primary key (note, who));
		select roomcast.attach('notes', name => 'message', room => 'room', columns => '{id}');
		select roomcast.attach('stars', name => 'star', columns => '{note,who,kind}', old => '{kind}', room => 'select n.room from public.notes n where n.id = r.note');
		select roomcast.attach('stars', name => 'mine', columns => '{note,who}', users => 'array[r.who, r.who, null]');
		select roomcast.attach('stars', name => 'all', columns => '{note,who}', room => $$array['lobby', 'hall']$$)`)
	c.Exec(`insert into notes values (1, 'r')`)
	c.wantEvents(`message INSERT r {"id":1}`)
	c.Exec(`insert into stars values (1, '` + user1 + `', 'gold')`)
	row := `{"note":1,"who":"` + user1 + `"}`
	c.wantEvents(`star INSERT r {"note":1,"who":"`+user1+`","kind":"gold"}`, `mine INSERT @`+user1+` `+row, `all INSERT hall `+row, `all INSERT lobby `+row)
	c.Exec(`insert into roomcast.outbox (attached, op, room, key_hash, record) select id, 'INSERT', 'r', hashtextextended('1:1' || $1, id), '{}' from roomcast.attached_tables where name = 'star'`, user1) // kept
	c.Exec(`update stars set kind = 'blue'`)
	c.events()
	c.Exec(`insert into roomcast.outbox (attached, op, room, key_hash, record) select id, 'INSERT', 'r', hashtextextended('1:1' || $1, id), '{}' from roomcast.attached_tables where name = 'star'`, user1)
	c.Exec(`delete from notes`)
	got := strings.Join(c.events(), "\n")
	if !strings.Contains(got, `star DELETE r {"note":1,"who":"`+user1+`"} {"kind":"blue"}`) {
		t.Errorf("captured:\n%s", got)
	}
	c.wantUnroutable()
	c.Exec(`select roomcast.detach('stars', 'all')`)
	c.Exec(`insert into notes values (2, 'r'); insert into stars values (2, '` + user1 + `', 'gold')`)
	if n := len(c.events()); n != 3 {
		t.Errorf("%d events after one name was detached", n)
	}
	// The names are of different kinds, and do not disturb each other (M11).
	c.Exec(`create table people (room text, who uuid, id int primary key)`)
	c.Exec(`select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`)
	c.Exec(`select roomcast.attach_messages('people', room_column => 'room')`)
	c.Exec(`insert into people values ('r', $1, 1)`, user1)
	if !one[bool](c, `select roomcast.is_member('r', $1)`, user1) {
		t.Error("membership was switched off")
	}
}

// UPDATE of a set: who is no longer in it is told of a deletion, who is new of a new row,
// who stays of a change if there is one.
func TestRoomsThatChange(t *testing.T) {
	c := bare(t, `
		create table lists (id int primary key, rooms text[], title text);
		select roomcast.attach('lists', name => 'list', room => 'r.rooms', columns => '{id,title}')`)
	c.Exec(`insert into lists values (1, '{a,b,b}', 'x')`)
	c.wantEvents(`list INSERT a {"id":1,"title":"x"}`, `list INSERT b {"id":1,"title":"x"}`)
	c.Exec(`update lists set rooms = '{b,c}'`)
	c.wantEvents(`list DELETE a {"id":1}`, `list INSERT c {"id":1,"title":"x"}`)
	c.Exec(`update lists set title = 'y', rooms = '{c}'`)
	c.wantEvents(`list DELETE b {"id":1}`, `list UPDATE c {"id":1,"title":"y"}`)
	c.Exec(`update lists set rooms = '{}'`)
	c.wantEvents(`list DELETE c {"id":1}`)
	c.wantUnroutable()
}

// Neither a dropped table nor one that moved keeps the others from working, from being
// attached, or from an upgrade (D15).
func TestDroppedTableHarmsNoOther(t *testing.T) {
	c := newChat(t)
	c.Exec(`set client_min_messages = error`)
	c.Exec(`create table gone (room text, user_id uuid); select roomcast.attach_members('gone', room_column => 'room')`)
	c.Exec(`create table moved (room text, user_id uuid); select roomcast.attach_members('moved', room_column => 'room')`)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	c.Exec(`insert into moved values ('m', $1)`, user1)
	c.Exec(`drop table gone; create schema away; alter table moved rename user_id to who; alter table moved set schema away`)
	for range 2 {
		for room, want := range map[string]bool{roomA: true, "m": true, roomB: false} {
			if got := one[bool](c, `select roomcast.can_read($1, $2, '{}')`, room, user1); got != want {
				t.Errorf("can read %s: %v", room, got)
			}
		}
		if err := admin.Migrate(t.Context(), c.URL); err != nil {
			t.Fatal(err)
		}
		c.Exec(`select roomcast.repair_captures()`)
	}
	c.Exec(`create table gone (room text, user_id uuid); select roomcast.attach_members('gone', room_column => 'room')`)
	c.Exec(`insert into gone values ('g', $1)`, user1)
	if !one[bool](c, `select roomcast.can_read('g', $1, '{}')`, user1) {
		t.Error("the table made again is not asked")
	}
}

func TestDetach(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "before")
	c.Exec(`select roomcast.detach('public.messages')`)
	c.Exec(insertMessage, roomA, user1, "after")
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT before")
}

func TestAttachRefuses(t *testing.T) {
	c := newChat(t)
	c.Exec(`create table keyless (room_id int, content text)`)
	for sql, want := range map[string]string{
		`select roomcast.attach_messages('public.nothing')`:                                         "there is no table public.nothing",
		`select roomcast.attach_messages('public.messages', room_column => 'channel')`:              "no column channel",
		`select roomcast.attach_messages('public.messages', columns => '{id,body}')`:                "no column body",
		`select roomcast.attach_messages('public.messages', columns => '{content}')`:                "must include {id}",
		`select roomcast.attach_messages('public.keyless')`:                                         "no primary key",
		`select roomcast.attach_members('public.room_participants', user_column => 'who')`:          "no column who",
		`select roomcast.configure(url => 'ftp://x')`:                                               "url: must be",
		`select roomcast.configure(url => 'https://app.fly.dev/webhooks/supabase', secret => 'ab')`: "secret: must be",
	} {
		if _, err := c.Conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", sql, err, want)
		}
	}
}
