package outbox_test

import "testing"

// guesses is SQL for what somebody could set who knows our code, the key and the transaction,
// and not the nonce.
func guesses(what string) string {
	hash := func(text string) string { return `encode(sha256(convert_to(` + text + `, 'UTF8')), 'hex')` }
	return `(select string_agg(' ' || g || ' ', '') from (values (` + what + `), (` + hash(what) + `), (` + hash(`concat_ws(' ', pg_current_xact_id(), `+what+`)`) + `),
		(` + hash(`concat_ws(' ', '00000000-0000-0000-0000-000000000000', pg_current_xact_id(), `+what+`)`) + `)) as v (g))`
}

// What the triggers tell one another by settings of the session, a chat user in a SQL
// session can say, too. It is not believed: what is written is told.
func TestForgedSettingsHideNothing(t *testing.T) {
	c := bare(t, `
		create table notes (id int, room text, part int) partition by list (part);
		create index on notes (id);
		create table notes_1 partition of notes for values in (1);
		create table notes_2 partition of notes for values in (2);
		create table people (room text, who uuid, part int, primary key (room, who, part)) partition by list (part);
		create table people_1 partition of people for values in (1);
		select roomcast.attach('notes', name => 'note', room => 'room', ids => '{id}');
		select roomcast.attach_members('people', room_column => 'room', user_column => 'who');
		insert into people values ('r', '`+user1+`', 1)`)
	c.events()
	const key = `(select hashtextextended('1', a.id)::text from roomcast.attached_tables a where a.name = 'note')`
	moved := `set_config('roomcast.moved', ' ' || ` + key + ` || ' ' || ` + guesses(`'moved ' || `+key) + `, false)`
	note := func(op, part string) string { return `note ` + op + ` r {"id":1,"room":"r","part":` + part + `}` }

	c.Exec(`do $$ begin
		perform ` + moved + `;
		insert into notes values (1, 'r', 1); end $$`)
	c.wantEvents(note("INSERT", "1"))
	c.Exec(`update notes set part = 2`) // what is told by the setting still is
	c.wantEvents(note("UPDATE", "2"))
	c.Exec(`do $$ begin update notes set part = 1; update notes set part = 2; end $$`)
	c.wantEvents(note("UPDATE", "1"), note("UPDATE", "2"))
	for _, isolation := range []string{"read committed", "serializable"} {
		c.Exec(`begin isolation level ` + isolation + `; update notes set part = 3 - part; delete from notes;
			select ` + moved + `;
			insert into notes values (1, 'r', 2); commit`)
		events := c.events()
		if n := len(events); n == 0 || events[n-1] != note("INSERT", "2") {
			t.Errorf("%s: told\n%s", isolation, lines(events))
		}
	}

	c.Exec(`begin; select set_config('roomcast.truncating', (select string_agg(' ' || id || ' ' || ` + guesses(`'truncating ' || id`) + `, '') from roomcast.attached_tables), true);
		truncate people_1; truncate notes_2; commit`)
	c.wantEvents(`member BULK r {"name":"member","op":"TRUNCATE","count":1}`, `note BULK r {"name":"note","op":"TRUNCATE","count":1}`)
	if n := one[int](c, `select count(*) from roomcast.departures where user_id = $1`, user1); n != 1 {
		t.Errorf("%d departures of who was taken out of the room", n)
	}
}
