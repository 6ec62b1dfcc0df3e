package outbox_test

import (
	"testing"

	"roomcast/shared/outbox/outboxtest"
)

// Whatever DDL comes between, the chat's statements go through and what can be told is
// told: in the session that did it, and in one that had its plans before (D3, D24).
func TestSchemaChangesUnderAnOpenSession(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text, body text, extra int);
		select roomcast.attach('notes', name => 'note', room => 'room', columns => '{id,room,body}')`)
	owner := outboxtest.Connect(t, c.URL)
	for _, step := range []struct {
		ddl, write string
		want       []string
	}{
		{`select 1`, `insert into notes values (1, 'r', 'a')`, []string{`note INSERT r {"id":1,"room":"r","body":"a"}`}},
		{`alter table notes rename column body to words`, `update notes set words = 'b'`, []string{`note UPDATE r {"id":1,"room":"r","words":"b"}`}},
		{`alter table notes rename column id to note_id`, `insert into notes values (2, 'r', 'c')`, []string{`note INSERT r {"note_id":2,"room":"r","words":"c"}`}},
		{`alter table notes alter column note_id type text`, `insert into notes values ('3', 'r', 'd')`, []string{`note INSERT r {"note_id":"3","room":"r","words":"d"}`}},
		{`alter table notes drop column words`, `insert into notes values ('4', 'r', 1)`, []string{`note INSERT r {"note_id":"4","room":"r"}`}},
		{`alter table notes add column words int`, `insert into notes values ('5', 'r', 1, 2)`, []string{`note INSERT r {"note_id":"5","room":"r"}`}},
		{`alter table notes rename to remarks`, `update remarks set room = 's' where note_id = '5'`, []string{`note DELETE r {"note_id":"5","room":"r"}`, `note INSERT s {"note_id":"5","room":"s"}`}},
		{`alter table remarks alter column room type varchar(40)`, `update remarks set room = 't' where note_id = '5'`, []string{`note DELETE s {"note_id":"5","room":"s"}`, `note INSERT t {"note_id":"5","room":"t"}`}},
		{`create schema away; alter table remarks set schema away`, `delete from away.remarks where note_id = '5'`, []string{`note DELETE t {"note_id":"5","room":"t"}`}},
	} {
		if _, err := owner.Exec(t.Context(), step.ddl); err != nil {
			t.Fatal(err)
		}
		c.Exec(step.write)
		got := c.events()
		for len(got) > len(step.want) { // what was scrubbed before
			got = got[1:]
		}
		if lines(got) != lines(step.want) {
			t.Errorf("%s, then %s:\n%swant:\n%s", step.ddl, step.write, lines(got), lines(step.want))
		}
	}
	c.wantUnroutable()
	// Repaired, it is as if it had always been so: the usual way, not the slow one.
	if n := one[int](c, `select roomcast.repair_captures()`); n != 1 {
		t.Errorf("repaired %d", n)
	}
	if n := one[int](c, `select roomcast.repair_captures()`); n != 0 {
		t.Errorf("repaired %d again", n)
	}
	c.Exec(`insert into away.remarks values ('6', 'r', 1)`)
	c.wantEvents(`note INSERT r {"note_id":"6","room":"r"}`)
}

// A column that identifies a row is dropped: nothing can be told of the row, and that is
// counted.
func TestWithoutItsIdsARowIsCounted(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, room text, body text);
		select roomcast.attach('notes', name => 'note', room => 'room')`)
	c.Exec(`alter table notes drop column id`)
	c.Exec(`insert into notes values ('r', 'a')`)
	c.Exec(`update notes set body = 'b'`)
	c.Exec(`delete from notes`)
	c.wantEvents()
	c.wantUnroutable(`INSERT 1 column r.id does not exist`, `UPDATE 1 column r.id does not exist`, `DELETE 1 column r.id does not exist`)
}

// What a room's expression needs may go: counted, never failed.
func TestRoomExpressionThatFails(t *testing.T) {
	c := bare(t, `
		create table threads (id int primary key, room text);
		create table notes (id int primary key, thread int, n int);
		select roomcast.attach('notes', name => 'note', room => 'select t.room from public.threads t where t.id = r.thread', columns => '{id}');
		select roomcast.attach('notes', name => 'ratio', room => '(10 / r.n)::text', columns => '{id}')`)
	c.Exec(`insert into notes values (1, 1, 0)`)
	c.wantUnroutable(`INSERT 1 no room`, `INSERT 1 division by zero`)
	c.Exec(`drop table threads`)
	c.Exec(`insert into notes values (2, 1, 5)`)
	c.wantEvents(`ratio INSERT 2 {"id":2}`)
	c.wantUnroutable(`INSERT 1 relation "public.threads" does not exist`)
	c.Exec(`set search_path = pg_temp`)
	c.Exec(`insert into public.notes values (3, 1, 2)`)
	c.wantEvents(`ratio INSERT 5 {"id":3}`)
}

// A row that moves between partitions is changed, not gone and new; rows written into a
// partition directly, or into one attached later, are captured (D24).
func TestPartitions(t *testing.T) {
	c := bare(t, `
		create table notes (id uuid default gen_random_uuid(), room text, part int, body text, primary key (id, part)) partition by list (part);
		create table notes_1 partition of notes for values in (1);
		select roomcast.attach('notes', name => 'note', room => 'room', columns => '{id,room,body}');
		create table notes_2 partition of notes for values in (2);
		create table notes_3 (part int not null, junk int, body text, id uuid not null, room text);
		alter table notes_3 drop column junk;
		alter table notes attach partition notes_3 for values in (3)`)
	const id = "cccccccc-0000-4000-8000-000000000001"
	row := `{"id":"` + id + `","room":"r","body":"a"}`
	c.Exec(`insert into notes (id, room, part, body) values ('` + id + `', 'r', 1, 'a')`)
	c.wantEvents(`note INSERT r ` + row)
	c.Exec(`update notes set part = 2`)
	c.wantEvents() // nothing that anybody is told
	c.Exec(`update notes set part = 3, body = 'b'`)
	c.wantEvents(`note UPDATE r {"id":"` + id + `","room":"r","body":"b"}`)
	c.Exec(`update notes_3 set body = 'c'`)
	c.wantEvents(`note UPDATE r {"id":"` + id + `","room":"r","body":"c"}`)
	c.Exec(`begin; update notes set part = 1; delete from notes; insert into notes values ('` + id + `', 'r', 1, 'a'); commit`)
	c.wantEvents(`note DELETE r {"id":"`+id+`","room":"r"}`, `note INSERT r `+row)
	c.Exec(`delete from notes_1`)
	c.wantEvents(`note DELETE r {"id":"` + id + `","room":"r"}`)
	c.Exec(`insert into notes (room, part) select 'r', 1 + i % 3 from generate_series(1, 300) i`)
	c.wantEvents(`note BULK r {"name":"note","op":"INSERT","count":300}`)
	c.wantUnroutable()
}

// An inheriting table's rows are captured, whichever name they are written under.
func TestInheritedTable(t *testing.T) {
	c := bare(t, `
		create table old_notes (id int primary key, room text);
		create table notes (primary key (id)) inherits (old_notes);
		select roomcast.attach('notes', name => 'note', room => 'room')`)
	c.Exec(`insert into notes values (1, 'r')`)
	c.Exec(`update old_notes set room = 's'`)
	if got := c.events(); len(got) != 3 {
		t.Errorf("captured:\n%s", lines(got))
	}
}

// Without any trigger of ours a statement that publishes for all tables works; with them,
// too (D17).
func TestPublicationOfAllTables(t *testing.T) {
	c := newChat(t)
	c.Exec(`create publication everything for all tables`)
	c.Exec(insertMessage, roomA, user1, "published")
	c.Exec(insertMessage, nil, user1, "no room")
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	c.Exec(`delete from room_participants`)
	c.Exec(`delete from messages`)
	c.Exec(`truncate messages`)
	c.Exec(`select roomcast.scrub_queued(10), roomcast.fold_unroutable(10), roomcast.fold_departures(10), roomcast.repair_captures()`)
}

// What a team's own functions assert is no reason for a statement of the chat to fail, and
// neither is a recheck at its commit.
func TestAssertionsOfTheTeams(t *testing.T) {
	c := bare(t, `
		create function public.hall(int) returns text language plpgsql as $$ begin assert $1 <> 7, 'seven'; return 'h'; end $$;
		create table notes (id int primary key, n int);
		create table bans (room text, who uuid);
		select roomcast.attach('notes', name => 'note', room => 'public.hall(r.n)', columns => '{id}'), roomcast.recheck_on('bans', room_column => 'room', user_column => 'who');
		create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean language plpgsql as $$ begin assert false; return true; end $$`)
	c.Exec(`insert into notes values (1, 1)`)
	c.Exec(`insert into notes values (2, 7)`)
	c.Exec(`insert into notes values (3, 7), (4, 1)`)
	c.Exec(`update notes set n = 7`)
	c.Exec(`delete from notes`)
	c.unroutable()
	c.Exec(`insert into notes values (5, 1)`)
	c.events()
	c.Exec(`update notes set n = 7`)
	c.Exec(`truncate notes`)
	c.wantUnroutable(`UPDATE 1 seven`, `TRUNCATE 1 seven`)
	c.Exec(`insert into bans values ('r', $1)`, user1)
	if !one[bool](c, `select may is null from roomcast.may_read_all('{r}', array[$1]::uuid[], array['{}']::jsonb[]) may`, user1) {
		t.Error("may_read_all knows")
	}
	if n := one[int](c, `select count(*) from roomcast.departures`); n != 1 {
		t.Errorf("%d departures", n)
	}
}
