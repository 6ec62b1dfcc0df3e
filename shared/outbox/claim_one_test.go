package outbox_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

// claimedOne is how many rows claim_one takes now.
const claimedOne = `select count(*)::int from roomcast.claim_one('r', '1 minute')`

// claim_one takes the one new row of a room that is at rest, and leaves to the others
// whatever else there is.
func TestClaimOneTakesOneOrNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(c *chat)
		want    int
	}{
		"one row":        {func(c *chat) { c.Exec(insertMessage, roomA, user1, "new") }, 1},
		"nothing":        {func(*chat) {}, 0},
		"two rows":       {func(c *chat) { c.Exec(insertMessage+`, ($1, $2, $3)`, roomA, user1, "new") }, 0},
		"two rooms":      {func(c *chat) { c.Exec(insertMessage+`, ($4, $2, $3)`, roomA, user1, "new", roomB) }, 0},
		"the other room": {func(c *chat) { c.Exec(insertMessage, roomB, user1, "new") }, 1},
		"a new room": {func(c *chat) {
			c.Exec(insertMessage, "cccccccc-0000-4000-8000-000000000003", user1, "new")
		}, 0},
		"a room under lease": {func(c *chat) {
			c.Exec(insertMessage, roomA, user1, "leased")
			c.Claim("other")
			c.Exec(insertMessage, roomA, user1, "new")
		}, 0},
		"a room whose lease has ended": {func(c *chat) {
			c.Exec(insertMessage, roomA, user1, "leased")
			c.Claim("dead")
			c.Exec(`update roomcast.rooms set due = clock_timestamp() where room = $1`, roomA)
			c.Exec(insertMessage, roomA, user1, "new")
		}, 0},
		"a room that is not due": {func(c *chat) {
			c.Exec(`update roomcast.rooms set due = clock_timestamp() + interval '1 minute' where room = $1`, roomA)
			c.Exec(insertMessage, roomA, user1, "new")
		}, 0},
		"another room wants attention": {func(c *chat) {
			c.Exec(`update roomcast.rooms set attention = clock_timestamp(), head_seq = head_seq + 1 where room = $1`, roomB)
			c.Exec(insertMessage, roomA, user1, "new")
		}, 0},
		"a membership to be asked for again": {func(c *chat) {
			c.Exec(`insert into roomcast.departures (user_id, room) values ($1, $2)`, user1, roomB)
			c.Exec(insertMessage, roomA, user1, "new")
		}, 0},
		"a restore under way": {func(c *chat) {
			c.Exec(`update roomcast.settings set restoring = 0`)
			c.Exec(insertMessage, roomA, user1, "new")
		}, 0},
		"a row that may have come with a copy": {func(c *chat) {
			c.Exec(`update roomcast.cursor set restored_id = 1000000`)
			c.Exec(insertMessage, roomA, user1, "new")
		}, 0},
		"transactions counted from a lower number": {func(c *chat) {
			c.Exec(`insert into roomcast.cursor (next_xid, open_xids) values ('9999999999', '{}')`)
			c.Exec(insertMessage, roomA, user1, "new")
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChat(t)
			for _, room := range []string{roomA, roomB} { // at rest
				c.Exec(insertMessage, room, user1, "old")
			}
			c.AckAll(c.Claim("r"))
			tc.prepare(c)
			cursor := one[int64](c, `select max(id) from roomcast.cursor`)
			if got := one[int](c, claimedOne); got != tc.want {
				t.Errorf("took %d rows, want %d", got, tc.want)
			}
			if moved := one[int64](c, `select max(id) from roomcast.cursor`) - cursor; moved != int64(tc.want) {
				t.Errorf("the cursor moved %d times, and %d rows were taken", moved, tc.want)
			}
		})
	}
}

// One chat is claimed as it is, its twins without claim_one and also without leases for rooms
// that numbering found at rest. Whatever is written, by whatever transactions, all claim the
// same rows under the same numbers and fences.
func TestShortcutsAreClaims(t *testing.T) {
	const (
		claimOne = `roomcast.claim_one(text, interval)`
		number   = `roomcast.number_rows(boolean, int, text, interval)`
	)
	twins := []*twin{newTwin(t), newTwin(t), newTwin(t)}
	change := func(twin *twin, function, was, is string) {
		t.Helper()
		twin.Exec(`do $do$ begin execute replace(pg_get_functiondef('` + function + `'::regprocedure), '` + was + `', '` + is + `'); end $do$`)
	}
	twins[0].Exec(`create sequence public.taken minvalue 0`)
	change(twins[0], claimOne, `perform roomcast.set_clock(`, `perform nextval(''public.taken''), roomcast.set_clock(`)
	twins[1].Exec(`create sequence public.taken minvalue 0`)
	change(twins[1], number, `return query`, `perform nextval(''public.taken'') from unnest(leases) l where l.fence is not null; return query`)
	for _, twin := range twins[1:] {
		change(twin, claimOne, `c := roomcast.last_cursor();`, `return;`)
	}
	change(twins[2], number, `begin`, `begin if number_rows.relay is not null then return; end if;`)
	const seed = 20261129
	random := rand.New(rand.NewPCG(seed, seed))
	for step := range 1200 {
		do := random.IntN(100)
		var told []string
		for _, twin := range twins { // all choose the same
			told = append(told, twin.step(do, step, rand.New(rand.NewPCG(uint64(step), seed))))
		}
		if told[0] != told[1] || told[0] != told[2] {
			t.Fatalf("step %d (%d):\n%s\nwithout claim_one:\n%s\nwithout leases at numbering:\n%s", step, do, told[0], told[1], told[2])
		}
	}
	const all = `select coalesce(string_agg(concat_ws(' ', r.room, r.head_seq, r.sent_seq, r.fence, r.holder, r.attention is null, r.due > clock_timestamp()), E'\n' order by r.room), '') from roomcast.rooms r`
	for i, what := range []string{"claim_one", "leases at numbering"} {
		if diff := cmp.Diff(one[string](twins[i+1].chat, all), one[string](twins[0].chat, all)); diff != "" {
			t.Errorf("rooms (-without %s +with):\n%s", what, diff)
		}
		if n := one[int](twins[i].chat, `select last_value::int from public.taken`); n < 50 {
			t.Errorf("%s took only %d rooms", what, n)
		}
	}
}

// Of a backlog of rooms of one row each a claim numbers what it leases, and no more; of other
// backlogs, what many claims take.
func TestBacklogOfSingleRows(t *testing.T) {
	for name, tc := range map[string]struct {
		perRoom  int
		numbered int
	}{"one row a room": {1, 100}, "two rows a room": {2, 1000}} {
		t.Run(name, func(t *testing.T) {
			c := newChat(t)
			c.Exec(`update roomcast.settings set bulk = 10000`)
			c.Exec(`insert into messages (room_id, content)
				select ('00000000-0000-4000-8000-' || lpad((i / $1)::text, 12, '0'))::uuid, i::text from generate_series(0, 999) i`, tc.perRoom)
			limits := outbox.Limits{Rows: 100, PerRoom: 10, Lease: time.Minute}
			rooms, err := c.DB.Claim(t.Context(), "r", limits)
			if err != nil || len(rooms) != 100/tc.perRoom {
				t.Fatalf("claimed %d rooms, %v", len(rooms), err)
			}
			if n := one[int](c, `select sum(head_seq)::int from roomcast.rooms`); n != tc.numbered {
				t.Errorf("%d rows have a number, want %d", n, tc.numbered)
			}
			if n := one[int](c, `select count(*)::int from roomcast.rooms where (holder is null) = (attention is null)`); n != 0 {
				t.Errorf("%d rooms are nobody's, or their holder's and anybody's", n)
			}
			got, _ := c.drain(limits)
			for _, rows := range got {
				if len(rows) != tc.perRoom || rows[0].Seq != 1 {
					t.Fatalf("a room's rows: %v", rows)
				}
			}
			if len(got) != 900/tc.perRoom {
				t.Errorf("%d rooms came behind these", len(got))
			}
		})
	}
}

// twin is a chat with a second writer, and what relays hold of it.
type twin struct {
	*chat
	slow *pgx.Conn // its transaction stays open for a while, or not
	open bool
	held map[string]outbox.Room
}

func newTwin(t *testing.T) *twin {
	c := newChat(t)
	c.Exec(`select roomcast.attach('messages', name => 'message', room => 'room_id', columns => '{id,room_id,user_id,content}', old => '{content}')`)
	return &twin{chat: c, slow: outboxtest.Connect(t, c.URL), held: map[string]outbox.Room{}}
}

// step does one thing and says what came of it.
func (c *twin) step(do, n int, random *rand.Rand) string {
	room := fmt.Sprintf("00000000-0000-4000-8000-%012d", random.IntN(3))
	content := fmt.Sprint("message ", n)
	long := func(bytes int) string { return content + strings.Repeat("x", bytes) }
	late := func(sql string, args ...any) {
		if _, err := c.slow.Exec(c.Context(), sql, args...); err != nil {
			c.Fatal(err)
		}
	}
	switch {
	case do < 25:
		c.Exec(insertMessage, room, user1, content)
	case do < 28:
		c.Exec(insertMessage+`, ($4, $2, $3)`, room, user1, content, roomA)
	case do < 31: // more than old rows, keys or records may have, or not
		c.Exec(insertMessage, room, user1, long([]int{3000, 4500, 9500, 12000}[random.IntN(4)]))
	case do < 34:
		c.Exec(`update messages set content = $1 where content like $2`, long([]int{0, 3000, 9000}[random.IntN(3)]), fmt.Sprintf("message %d%%", random.IntN(n+1)))
	case do < 36: // as a capture that failed writes them
		c.Exec(`update roomcast.outbox set stub = true where id = (select max(id) from roomcast.outbox)`)
	case do < 39:
		c.Exec(`delete from messages where content = $1`, fmt.Sprint("message ", random.IntN(n+1)))
	case do < 41:
		c.Exec(`select pg_current_xact_id()`)
	case do < 44 && !c.open:
		c.open = true
		late(`begin`)
		late(insertMessage, room, user1, content)
	case do < 46 && c.open:
		c.open = false
		late([]string{`commit`, `rollback`}[random.IntN(2)])
	case do < 72:
		return c.claim(outbox.Limits{Rows: 1 + random.IntN(20), PerRoom: 1 + random.IntN(3), Lease: time.Minute})
	case do < 84: // to rest, but for an open transaction
		var told string
		for again := true; again; {
			c.AckAll(c.held)
			c.held = map[string]outbox.Room{}
			more := c.claim(outbox.Limits{Rows: 1000, PerRoom: 1000, Lease: time.Minute})
			told, again = told+more, more != ""
		}
		return told
	case len(c.held) > 0:
		ids := slices.Sorted(maps.Keys(c.held))
		r := c.held[ids[random.IntN(len(ids))]]
		delete(c.held, r.ID)
		ack := outbox.Ack{Room: r.ID, Fence: r.Fence, Seq: r.Rows[random.IntN(len(r.Rows))].Seq}
		refused, err := c.DB.Ack(c.Context(), []outbox.Ack{ack})
		if err != nil {
			c.Fatal(err)
		}
		return fmt.Sprint(refused)
	}
	return ""
}

// claim says what was claimed, and keeps it.
func (c *twin) claim(limits outbox.Limits) string {
	rooms, err := c.DB.Claim(c.Context(), "r", limits)
	if err != nil {
		c.Fatal(err)
	}
	var told []string
	for _, r := range rooms {
		c.held[r.ID] = r
		line := fmt.Sprint(r.ID, " fence ", r.Fence, " ", outboxtest.Brief(r))
		for _, row := range r.Rows {
			line += fmt.Sprint("\n  ", row.Change.Keys, " stub ", row.Change.Stub, " old ", len(row.Change.Old) > 0)
		}
		told = append(told, line)
	}
	slices.Sort(told)
	return strings.Join(told, "\n")
}
