package outbox_test

import (
	"strings"
	"testing"
)

// TRUNCATE of a partition is told as that of the whole table: once in each of its rooms,
// and the texts of its rows go, and of no others.
func TestTruncateOfAPartition(t *testing.T) {
	c := bare(t, `
		create table notes (id int, room text, part int, body text, primary key (id, part)) partition by list (part);
		create table notes_1 partition of notes for values in (1);
		create table notes_2 partition of notes for values in (2) partition by list (id);
		create table notes_2_1 partition of notes_2 default;
		create table people (room text, who uuid, part int, primary key (room, who, part)) partition by list (part);
		create table people_1 partition of people for values in (1);
		select roomcast.attach('notes', name => 'note', room => 'room');
		select roomcast.attach_members('people', room_column => 'room', user_column => 'who');
		create table notes_3 partition of notes for values in (3);
		select roomcast.follow_children();
		insert into notes select i, 'r' || i, i, 'text ' || i from generate_series(1, 3) i;
		insert into people values ('r1', '`+user1+`', 1)`)
	c.Exec(`delete from roomcast.outbox where op <> 'INSERT' or room like '@%'`)
	bulk := func(room string) string { return `note BULK ` + room + ` {"name":"note","op":"TRUNCATE","count":1}` }
	told := func(want ...string) {
		t.Helper()
		got := one[[]string](c, `select coalesce(array_agg('note BULK ' || room || ' ' || record order by room), '{}') from roomcast.outbox where op = 'BULK' and record like '%note%'`)
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("told:\n%swant:\n%s", lines(got), lines(want))
		}
		c.Exec(`delete from roomcast.outbox where op = 'BULK'`)
	}
	texts := func(want string) {
		t.Helper()
		for one[int](c, `select roomcast.scrub_queued(2)`) > 0 || one[bool](c, `select exists (select from roomcast.scrub_queue)`) {
		}
		if got := one[string](c, `select coalesce(string_agg(record::json ->> 'body', ',' order by id), '') from roomcast.outbox`); got != want {
			t.Errorf("kept: %s, want %s", got, want)
		}
	}
	c.Exec(`truncate notes_1`)
	told(bulk("r1"))
	texts("text 2,text 3")
	c.Exec(`truncate notes_2`) // and its partition
	told(bulk("r2"))
	texts("text 3")
	c.Exec(`begin; set local roomcast.truncating = ' 4  5 '; truncate notes_3; commit`) // says that it has been told
	told(bulk("r3"))
	texts("")
	c.Exec(`insert into notes select i, 'r' || i, i, 'text ' || i from generate_series(1, 3) i`)
	c.Exec(`begin; savepoint s; truncate notes; rollback to s; truncate notes; commit`)
	told(bulk("r1"), bulk("r2"), bulk("r3"))
	c.Exec(`insert into notes values (1, 'r1', 1)`)
	c.Exec(`do $$ begin truncate notes; insert into notes values (1, 'r1', 1); truncate notes_1; end $$`)
	told(bulk("r1"), bulk("r1"))
	c.Exec(`truncate people_1`)
	if n := one[int](c, `select count(*) from roomcast.departures where user_id = $1`, user1); n != 1 {
		t.Errorf("%d departures", n)
	}
	c.wantUnroutable()
}

// Partitions that come with rows or leave with them are noticed by the sweep, and told as
// bulk changes; who was a member by one that left is none now.
func TestPartitionsThatComeAndGo(t *testing.T) {
	c := bare(t, `
		create table notes (id int, room text, part int, primary key (id, part)) partition by list (part);
		create table notes_1 partition of notes for values in (1);
		create table people (room text, who uuid, part int, primary key (room, who, part)) partition by list (part);
		create table people_1 partition of people for values in (1);
		select roomcast.attach('notes', name => 'note', room => 'room');
		select roomcast.attach_members('people', room_column => 'room', user_column => 'who');
		insert into notes values (1, 'r', 1);
		insert into people values ('r', '`+user1+`', 1), ('r', '`+user2+`', 1);
		create table people_2 partition of people for values in (2);
		insert into people values ('r', '`+user2+`', 2)`)
	follow := func(want int) {
		t.Helper()
		c.Exec(`select roomcast.upkeep()`)
		if n := one[int](c, `select roomcast.follow_children()`); n != 0 {
			t.Errorf("upkeep left %d", n)
		}
	}
	follow(1)
	c.events() // what was captured is not told again
	c.Exec(`create table notes_2 (like notes including all); insert into notes_2 values (2, 's', 2); alter table notes attach partition notes_2 for values in (2)`)
	follow(1)
	c.wantEvents(`note BULK s {"name":"note","op":"ATTACH","count":1}`)
	c.Exec(`create table notes_3 partition of notes for values in (3); insert into notes values (3, 'r', 3)`)
	follow(1)
	c.wantEvents(`note INSERT r {"id":3,"room":"r","part":3}`)
	c.Exec(`alter table notes detach partition notes_1`)
	c.Exec(`truncate notes_1; insert into notes_1 values (1, 'x', 1)`) // no business of ours any more
	follow(1)
	c.wantEvents(`note BULK x {"name":"note","op":"DETACH","count":1}`)
	if n := one[int](c, `select count(*) from pg_trigger where tgrelid = 'notes_1'::regclass and tgname like 'roomcast%'`); n != 0 {
		t.Errorf("%d triggers are left on the table that left", n)
	}
	c.Exec(`alter table people detach partition people_1`)
	follow(1)
	c.Exec(`select roomcast.check_departures(10)`)
	if got := one[string](c, `select string_agg(user_id, ',') from roomcast.departures`); got != user1 {
		t.Errorf("disconnected: %s", got)
	}
	c.Exec(`drop table notes_2`)
	follow(1)
	if n := one[int](c, `select count(*) from roomcast.audits where problem = 'partition dropped'`); n != 1 {
		t.Errorf("%d notes of the dropped partition", n)
	}
}

// Rows of inheriting tables are rows of the table that they inherit from, under whichever
// name they are written; one that begins to inherit later is noticed, and one that stops.
func TestTablesThatBeginToInherit(t *testing.T) {
	for _, later := range []bool{false, true} {
		c := bare(t, `create table notes (id int primary key, room text, body text); create table more (extra int, body text, room text, id int not null)`)
		if later {
			c.Exec(`select roomcast.attach('notes', name => 'note', room => 'room')`)
			c.Exec(`insert into more values (1, 'a', 'kept', 9)`)
		}
		c.Exec(`alter table more inherit notes`)
		if later {
			c.Exec(`select roomcast.upkeep()`)
			c.wantEvents(`note BULK kept {"name":"note","op":"ATTACH","count":1}`)
			c.Exec(`delete from more`)
			c.wantEvents(`note DELETE kept {"id":9,"room":"kept"}`)
		} else {
			c.Exec(`select roomcast.attach('notes', name => 'note', room => 'room')`)
		}
		row := func(op, id, body string) string {
			return `note ` + op + ` r {"id":` + id + `,"room":"r","body":"` + body + `"}`
		}
		c.Exec(`insert into notes values (1, 'r', 'a'); insert into more values (0, 'a', 'r', 2), (0, 'b', 'r', 3)`)
		c.wantEvents(row("INSERT", "1", "a"), row("INSERT", "2", "a"), row("INSERT", "3", "b"))
		c.Exec(`update notes set body = 'c' where id < 3`)
		c.wantEvents(row("UPDATE", "1", "c"), row("UPDATE", "2", "c"))
		c.Exec(`update more set body = 'd' where id = 3`)
		c.wantEvents(row("UPDATE", "3", "d"))
		c.Exec(`delete from notes where id = 2`)
		c.wantEvents(`note DELETE r {"id":2,"room":"r"}`)
		c.Exec(`truncate notes`)
		c.wantEvents(`note BULK r {"name":"note","op":"TRUNCATE","count":2}`)
		c.Exec(`insert into more values (0, 'a', 'r', 2)`)
		c.events()
		c.Exec(`alter table more no inherit notes`)
		c.Exec(`select roomcast.upkeep()`)
		c.wantEvents(`note BULK r {"name":"note","op":"DETACH","count":1}`)
		c.Exec(`insert into more values (0, 'a', 'r', 3); truncate more`)
		c.wantEvents()
		c.Exec(`select roomcast.detach('notes')`)
		c.wantUnroutable()
	}
}

// An attached table that comes below another is relayed under that one's name, too, from the
// sweep on: where a team makes partitions of its table, or a table of all its kinds.
func TestAttachedTableThatComesBelowAnother(t *testing.T) {
	for below, sql := range map[string]string{
		"a partition": `alter table notes rename to notes_old;
			create table notes (id int primary key, room text, body text) partition by range (id);
			alter table notes attach partition notes_old for values from (0) to (1000)`,
		"inheriting": `alter table notes rename to notes_old; create table notes (id int, room text, body text); alter table notes_old inherit notes`,
	} {
		t.Run(below, func(t *testing.T) {
			t.Parallel()
			c := bare(t, `create table notes (id int primary key, room text, body text);
				select roomcast.attach('notes', name => 'note', room => 'room')`)
			c.Exec(`insert into notes values (1, 'r', 'a'), (2, 'r', 'a')`)
			c.events()
			c.Exec(sql)
			c.Exec(`select roomcast.upkeep()`)
			if got := one[string](c, `select string_agg(note, '') from roomcast.audits`); got != "below public.notes; what was written under that name before was not relayed" {
				t.Errorf("noted: %s", got)
			}
			insert := func(id string) {
				if below == "inheriting" {
					c.Exec(`insert into notes_old values (` + id + `, 'r', 'b')`)
					return
				}
				c.Exec(`insert into notes values (` + id + `, 'r', 'b')`)
			}
			insert("3")
			c.wantEvents(`note INSERT r {"id":3,"room":"r","body":"b"}`)
			c.Exec(`update notes set room = 's' where id = 2`)
			c.wantEvents(`note DELETE r {"id":2,"room":"r"}`, `note INSERT s {"id":2,"room":"s","body":"a"}`)
			c.Exec(`delete from notes where id < 3`)
			c.wantEvents(`note DELETE r {"id":1,"room":"r"}`, `note DELETE s {"id":2,"room":"s"}`)
			c.Exec(`update notes_old set body = 'c'`)
			c.wantEvents(`note UPDATE r {"id":3,"room":"r","body":"c"}`)
			c.Exec(`truncate notes`)
			c.wantEvents(`note BULK r {"name":"note","op":"TRUNCATE","count":1}`)
			c.Exec(`select roomcast.upkeep()`)
			if n := one[int](c, `select count(*) from roomcast.audits`); n != 1 {
				t.Errorf("%d notes", n)
			}
			c.wantUnroutable()
		})
	}
}

// A row that is deleted from a partition is looked for in no other one; one that an UPDATE
// moves is, whatever the chat's own triggers do meanwhile, and whatever was undone before.
func TestDeletesLookIntoNoOtherPartition(t *testing.T) {
	c := bare(t, `
		create table notes (id int, room text, part int, body text, primary key (id, part)) partition by list (part);
		create table notes_1 partition of notes for values in (1);
		create table notes_2 partition of notes for values in (2) partition by list (id);
		create table notes_2_1 partition of notes_2 default;
		create table seen (id int primary key);
		select roomcast.attach('notes', name => 'note', room => 'room', ids => '{id}');
		insert into notes values (1, 'r', 1, 'a'), (2, 'r', 1, 'a'), (3, 'r', 2, 'a')`)
	c.events()
	c.Exec(`set statement_timeout = '20s'`) // it would wait for the lock, which waits for it
	c.locked("notes_2_1", func() { c.Exec(`delete from notes_1 where id = 1`) })
	c.wantEvents(`note DELETE r {"id":1,"room":"r"}`)
	c.Exec(`begin; savepoint s; update notes set part = 2; rollback to s; delete from notes where id = 2; insert into notes values (2, 'r', 1, 'a'); commit`)
	c.wantEvents(`note DELETE r {"id":2,"room":"r"}`, `note INSERT r {"id":2,"room":"r","part":1,"body":"a"}`)
	c.Exec(`create function beside() returns trigger language plpgsql as $$ begin
			if pg_trigger_depth() < 2 then update notes set body = 'c' where id = 3; end if; return new; end $$;
		create trigger beside before update on notes_1 for each row execute function beside()`)
	c.Exec(`update notes set part = 2, body = 'b' where id = 2`)
	c.wantEvents(`note UPDATE r {"id":3,"room":"r","part":2,"body":"c"}`, `note UPDATE r {"id":2,"room":"r","part":2,"body":"b"}`)
	if got := one[string](c, `select coalesce(current_setting('roomcast.updating', true), '')`); got != "" {
		t.Errorf("%s updates are under way", got)
	}
	c.wantUnroutable()
}
