package outbox_test

import (
	"strings"
	"testing"
)

// A table that was dropped and restored from a dump is the attached one again, whether the
// sweep comes while it is away or not: its rows are relayed, its members may read, and no
// other table has to wait for that.
func TestTablesRestoredFromADump(t *testing.T) {
	const tables = `
		create table notes (id int primary key, room text, body text);
		create table people (room text, who uuid, primary key (room, who));
		create table parts (id int, room text, primary key (id)) partition by range (id);
		create table parts_1 partition of parts for values from (0) to (100);`
	for _, swept := range []bool{false, true} {
		c := bare(t, tables+`
			create table other (id int primary key, room text);
			select roomcast.attach('notes', name => 'note', room => 'room'), roomcast.attach('parts', name => 'part', room => 'room'),
			       roomcast.attach_members('people', room_column => 'room', user_column => 'who'), roomcast.attach('other', name => 'other', room => 'room')`)
		dumped := one[[]string](c, `select array(select pg_get_triggerdef(t.oid) from pg_trigger t
			where t.tgrelid in ('notes'::regclass, 'people'::regclass, 'parts'::regclass, 'parts_1'::regclass) and t.tgname ~ '^roomcast_' and t.tgparentid = 0)`)
		c.Exec(`drop table notes, people, parts`)
		if swept {
			c.Exec(`select roomcast.upkeep()`)
		}
		c.Exec(tables + `alter table other rename room to hall`)
		c.Exec(`insert into people values ('r', $1)`, user1)
		c.Exec(strings.Join(dumped, ";\n"))
		c.Exec(`select roomcast.upkeep()`)
		c.events()
		c.wantMember("r", user1, true)
		c.Exec(`insert into notes values (1, 'r', 'a'); update notes set body = 'b'; insert into parts values (1, 'r'); insert into other values (1, 'r'); delete from notes; truncate parts`)
		c.wantEvents(`note DELETE r {"id":1,"room":"r"}`, `note DELETE r {"id":1,"room":"r"}`, `part INSERT r {"id":1,"room":"r"}`,
			`other INSERT r {"id":1,"hall":"r"}`, `note DELETE r {"id":1,"room":"r"}`, `part BULK r {"name":"part","op":"TRUNCATE","count":1}`)
		c.Exec(`delete from people`)
		if n := one[int](c, `select count(*) from roomcast.departures`); n != 1 {
			t.Errorf("%d departures", n)
		}
		c.wantUnroutable()
		if n := one[int](c, `select roomcast.repair_captures()`); n != 0 {
			t.Errorf("repaired %d again", n)
		}
	}
}

// What is attached again has no triggers but its own, whatever a dump brought along; what was
// detached stays so.
func TestLeftoverTriggers(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text);
		create table more (id int primary key, room text);
		select roomcast.attach('notes', name => 'note', room => 'room'), roomcast.attach('more', name => 'more', room => 'room');`)
	dumped := one[[]string](c, `select array(select pg_get_triggerdef(t.oid) from pg_trigger t where t.tgrelid = 'notes'::regclass and t.tgname ~ '^roomcast_')`)
	c.Exec(`drop table notes; create table notes (id int primary key, room text)`)
	c.Exec(strings.Join(dumped, ";\n"))
	c.Exec(`select roomcast.attach('notes', name => 'note', room => 'room'), roomcast.upkeep()`)
	c.Exec(`insert into notes values (1, 'r')`)
	c.wantEvents(`note INSERT r {"id":1,"room":"r"}`)
	c.Exec(`select roomcast.detach('notes'), roomcast.upkeep()`)
	if n := one[int](c, `select count(*) from pg_proc p join roomcast.attached_tables a on p.proname ~ format('^capture_%s_', a.id) where a.name = 'note'`); n != 0 {
		t.Errorf("%d functions are left for a dump to call", n)
	}
	c.Exec(`insert into notes values (2, 'r'); insert into more values (1, 'r')`)
	c.wantEvents(`more INSERT r {"id":1,"room":"r"}`)
}
