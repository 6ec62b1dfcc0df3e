package outbox_test

import (
	"testing"

	"roomcast/shared/outbox/outboxtest"
)

// A user who has two rows in a room, in one table or in two, is a member until the last of
// them is gone: then, and not before, nobody may read and the user is disconnected.
func TestTheLastOfSeveralRowsEndsAMembership(t *testing.T) {
	c := bare(t, ``)
	for name, tables := range map[string]string{
		"roles": `create table people (room text, who uuid, role text);
			select roomcast.attach_members('people', room_column => 'room', user_column => 'who', columns => '{room,who,role}')`,
		"a partial index": `create table people (room text, who uuid, role text);
			create unique index on people (room, who) where role <> 'host';
			select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`,
		"partitions": `create table people (room text, who uuid, role text, primary key (room, who, role)) partition by list (role);
			create table people_1 partition of people for values in ('host');
			create table people_2 partition of people default;
			select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`,
		"two tables": `create table guests (room varchar(20), guest uuid, primary key (room, guest));
			create table hosts (room text, host uuid, primary key (room, host));
			create view people as select room, guest as who, 'guest' as role from guests union all select room, host, 'host' from hosts;
			create function fork() returns trigger language plpgsql as $f$ begin
				if tg_op = 'DELETE' then
					if old.role = 'host' then delete from hosts where room = old.room and host = old.who; else delete from guests where room = old.room and guest = old.who; end if;
					return old;
				end if;
				if new.role = 'host' then insert into hosts values (new.room, new.who); else insert into guests values (new.room, new.who); end if;
				return new;
			end $f$;
			create trigger fork instead of insert or delete on people for each row execute function fork();
			select roomcast.attach_members('guests', room_column => 'room', user_column => 'guest');
			select roomcast.attach_members('hosts', room_column => 'room', user_column => 'host')`,
		"an array": `create table talks (room text, who uuid[], role text);
			create view people as select room, who[1] as who, role from talks;
			create function wrap() returns trigger language plpgsql as $f$ begin
				if tg_op = 'DELETE' then delete from talks where room = old.room and role = old.role and who[1] = old.who; return old; end if;
				insert into talks values (new.room, array[new.who, new.who], new.role); return new;
			end $f$;
			create trigger wrap instead of insert or delete on people for each row execute function wrap();
			select roomcast.attach_members('talks', room_column => 'room', user_column => 'who')`,
	} {
		c.Exec(tables)
		const room = "@r" // whose key is spelled otherwise
		c.Exec(`insert into people values ($1, $2, 'host'), ($1, $2, 'guest'), ($1, $3, 'guest')`, room, user1, user2)
		c.events()
		c.Exec(`delete from people where who = $1 and role = 'host'`, user1)
		c.wantMember(room, user1, true)
		if n := c.count("DELETE"); n != 0 {
			t.Errorf("%s: %d deletions are told, and one row is left", name, n)
		}
		if n := c.count("UPDATE"); n != 1 {
			t.Errorf("%s: %d updates", name, n)
		}
		c.Exec(`select roomcast.assign_seqs(), roomcast.fold_departures(10)`)
		if n := one[int](c, `select (select count(*) from roomcast.departures) + (select count(*) from roomcast.revocations)`); n != 0 {
			t.Errorf("%s: %d are to be disconnected", name, n)
		}
		c.Exec(`delete from people where who = $1`, user1)
		c.wantMember(room, user1, false)
		if n := c.count("DELETE"); n != 2 { // in the room and in person
			t.Errorf("%s: %d deletions", name, n)
		}
		if n := one[int](c, `select count(*) from roomcast.departures where room is null and user_id = $1`, user1); n != 1 {
			t.Errorf("%s: %d departures", name, n)
		}
		c.Exec(`drop table if exists talks, guests, hosts cascade; drop table if exists people; drop function if exists fork, wrap`)
		c.Exec(`delete from roomcast.departures; delete from roomcast.outbox; select roomcast.repair_captures()`)
	}
}

func (c *chat) wantMember(room, user string, want bool) {
	c.Helper()
	if got := one[bool](c, `select roomcast.is_member($1, $2)`, room, user); got != want {
		c.Errorf("member: %v", got)
	}
}

func (c *chat) count(op string) int {
	c.Helper()
	return one[int](c, `select count(*) from roomcast.outbox where op = $1`, op)
}

// Two transactions that remove one row each see the other's still there. What is true once
// both have ended counts, whichever ends first.
func TestLastRowsRemovedAtOnce(t *testing.T) {
	for _, level := range []string{"read committed", "repeatable read"} {
		for _, end := range []string{"commit", "rollback"} {
			c := bare(t, `create table people (room text, who uuid, role text);
				select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`)
			c.Exec(`insert into people values ('r', $1, 'host'), ('r', $1, 'guest')`, user1)
			c.Exec(`select roomcast.assign_seqs()`)
			other := outboxtest.Connect(t, c.URL)
			run := func(sql string) {
				t.Helper()
				if _, err := other.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			run(`begin isolation level ` + level)
			run(`delete from people where role = 'host'`)
			c.Exec(`begin isolation level ` + level)
			c.Exec(`delete from people where role = 'guest'`)
			c.Exec(`commit`)
			c.Exec(`select roomcast.assign_seqs()`) // the other's row is still there
			c.wantMember("r", user1, true)
			run(end)
			c.Exec(`select roomcast.assign_seqs()`)
			c.Exec(`select roomcast.assign_seqs()`) // and what that one noticed
			left := end == "commit"
			c.wantMember("r", user1, !left)
			if got := one[bool](c, `select exists (select from roomcast.outbox where op = 'DELETE' and room = 'r')`); got != left {
				t.Errorf("%s, %s: user-left is told: %v", level, end, got)
			}
			if got := one[bool](c, `select exists (select from roomcast.departures where user_id = $1 and room is null)`, user1); got != left {
				t.Errorf("%s, %s: disconnected: %v", level, end, got)
			}
			if one[bool](c, `select roomcast.has_unnumbered()`) {
				t.Errorf("%s, %s: something is left to number", level, end)
			}
		}
	}
}

// One transaction removes both, a row at a time: it says so once.
func TestBothRowsRemovedInOneTransaction(t *testing.T) {
	c := bare(t, `create table people (room text, who uuid, role text);
		select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`)
	c.Exec(`insert into people values ('r', $1, 'host'), ('r', $1, 'guest')`, user1)
	c.Exec(`select roomcast.assign_seqs()`)
	c.Exec(`begin; delete from people where role = 'host'; delete from people; commit`)
	c.Exec(`select roomcast.assign_seqs()`)
	c.Exec(`select roomcast.assign_seqs()`)
	if n := one[int](c, `select count(*) from roomcast.outbox where op = 'DELETE' and room = 'r'`); n != 1 {
		t.Errorf("user-left is told %d times", n)
	}
	if n := one[int](c, `select count(*) from roomcast.departures`); n != 1 {
		t.Errorf("%d departures", n)
	}
}
