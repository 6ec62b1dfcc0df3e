package outbox_test

import "testing"

// A trigger of the chat's that writes to the same table again runs before ours does. What
// is told ends with what the table holds all the same: first the new row, then its changes.
func TestTriggersThatWriteToTheTableAgain(t *testing.T) {
	for name, table := range map[string]string{
		"a table":    `create table notes (id int primary key, room text, body text)`,
		"partitions": `create table notes (id int primary key, room text, body text) partition by range (id); create table notes_1 partition of notes default`,
	} {
		c := bare(t, table+`;
			create function again() returns trigger language plpgsql as $f$ begin
				case when pg_trigger_depth() > 1 then null;
				when new.body = 'kill' then delete from notes where id = new.id;
				when new.body = 'move' then update notes set room = 's', body = 'moved' where id = new.id;
				when new.body = 'other' then update notes set body = 'touched' where id = 1;
				else update notes set body = body || '!' where id = new.id; end case;
				return null;
			end $f$;
			select roomcast.attach('notes', name => 'note', room => 'room')`)
		c.Exec(`create trigger again after insert or update on notes for each row execute function again()`)
		if n := one[int](c, `select roomcast.repair_captures()`); n != 1 {
			t.Errorf("%s: the trigger was not noticed", name)
		}
		row := func(op, id, room, body string) string {
			return `note ` + op + ` ` + room + ` {"id":` + id + `,"room":"` + room + `","body":"` + body + `"}`
		}
		gone := func(id string) string { return `note DELETE r {"id":` + id + `,"room":"r"}` }
		for _, step := range []struct {
			sql  string
			want []string
		}{
			{`insert into notes values (1, 'r', 'a')`, []string{row("INSERT", "1", "r", "a!")}},
			{`insert into notes values (2, 'r', 'b'), (3, 'r', 'c')`, []string{row("INSERT", "2", "r", "b!"), row("INSERT", "3", "r", "c!")}},
			{`update notes set body = 'd' where id < 3`, []string{row("UPDATE", "1", "r", "d!"), row("UPDATE", "2", "r", "d!")}},
			{`begin; update notes set body = 'e' where id = 1; update notes set body = 'f' where id = 1; commit`, []string{row("UPDATE", "1", "r", "e!"), row("UPDATE", "1", "r", "f!")}},
			{`insert into notes values (4, 'r', 'kill')`, []string{gone("4")}},
			{`insert into notes values (5, 'r', 'move')`, []string{gone("5"), row("INSERT", "5", "s", "moved")}},
			{`insert into notes values (6, 'r', 'other')`, []string{row("UPDATE", "1", "r", "touched"), row("INSERT", "6", "r", "other")}},
			{`begin; delete from notes where id = 1; insert into notes values (1, 'r', 'g'); commit`, []string{gone("1"), row("INSERT", "1", "r", "g!")}},
			{`begin isolation level repeatable read; insert into notes values (7, 'r', 'h'); commit`, []string{row("INSERT", "7", "r", "h!")}},
		} {
			c.Exec(step.sql)
			if got := c.events(); lines(got) != lines(step.want) {
				t.Errorf("%s: %s:\n%swant:\n%s", name, step.sql, lines(got), lines(step.want))
			}
		}
		c.wantUnroutable()
	}
}
