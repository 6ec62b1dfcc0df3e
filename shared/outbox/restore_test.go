package outbox_test

import (
	"testing"
	"time"

	"roomcast/shared/outbox/outboxtest"
)

// Of a copy in another cluster, whose transactions are counted from a lower number, what
// had no number gets one and what had one keeps it: rows of a transaction that was open at
// the last numbering, rows behind it, and those written here before a relay came. Also
// where the copy's identities begin again, as after a copy table by table.
func TestCopyInAnotherCluster(t *testing.T) {
	for name, tc := range map[string]struct {
		identities string
		want       []string
	}{
		"identities go on":     {`select 1`, []string{"3 INSERT open then", "4 INSERT waiting", "5 INSERT written here"}},
		"identities go back":   {`select setval('roomcast.outbox_id_seq', 1)`, []string{"3 INSERT written here", "4 INSERT open then", "5 INSERT waiting"}},
		"restored once before": {`update roomcast.cursor set restored_id = 1001`, []string{"3 INSERT open then", "4 INSERT waiting", "5 INSERT written here"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChat(t)
			c.Exec(`select setval('roomcast.outbox_id_seq', 1000)`)
			c.Exec(insertMessage, roomA, user1, "sent")
			c.AckAll(c.Claim("r"))
			open, err := outboxtest.Connect(t, c.URL).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := open.Exec(t.Context(), insertMessage, roomA, user1, "open then"); err != nil {
				t.Fatal(err)
			}
			c.Exec(insertMessage, roomA, user1, "sent beside it")
			c.AckAll(c.Claim("r"))
			if err := open.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.Exec(insertMessage, roomA, user1, "waiting")

			// There transactions were counted from four thousand millions.
			c.Exec(`update roomcast.outbox set xid = (xid::text::bigint + 4000000000)::text::xid8`)
			c.Exec(`update roomcast.cursor set next_xid = (next_xid::text::bigint + 4000000000)::text::xid8,
				open_xids = array(select (x::text::bigint + 4000000000)::text::xid8 from unnest(open_xids) x)`)
			c.Exec(`update roomcast.settings set identity = 'another cluster:' || identity`)
			c.Exec(tc.identities)
			c.Exec(insertMessage, roomA, user1, "written here")
			if err := c.DB.StartAwake(t.Context(), time.Second, ""); err != nil {
				t.Fatal(err)
			}
			c.Exec(`update roomcast.settings set claims_from = null`)
			c.WantClaim(c.Claim("r")[roomA], tc.want...)
			if one[bool](c, `select roomcast.has_unnumbered()`) {
				t.Error("rows are numbered again and again")
			}
		})
	}
}

// Millions of rows without a number are made new in steps, each bounded; until the last,
// nothing is numbered, so that what was written here since comes behind them. A relay that
// dies in between is followed by another.
func TestCopyWithManyRowsWithoutANumber(t *testing.T) {
	for name, identities := range map[string]string{"identities go on": `select 1`, "identities go back": `select setval('roomcast.outbox_id_seq', 3000000)`} {
		c := newChat(t)
		c.Exec(`update roomcast.settings set bulk = 1000000`)
		c.Exec(insertMessage, roomA, user1, "sent")
		c.AckAll(c.Claim("r"))
		c.Exec(`insert into roomcast.outbox (id, xid, attached, op, room, key_hash, record) overriding system value
			select 5000000 + i, (4000000000 + i % 3)::text::xid8, 4, 'INSERT', $1, i, '{"content":"waiting"}' from generate_series(1, 2500) i`, roomA)
		c.Exec(`select setval('roomcast.outbox_id_seq', 6000000)`)
		c.Exec(`update roomcast.cursor set next_xid = '4000000000', open_xids = '{}'; update roomcast.settings set identity = 'another cluster:' || identity`)
		c.Exec(identities)
		const step = `select roomcast.notice_restore(step => 1000)`
		c.Exec(step)
		c.Exec(insertMessage, roomA, user1, "written here")
		steps := 1
		for one[bool](c, `select restoring is not null from roomcast.settings`) {
			if n := one[int](c, `select count(*) from (select xid from roomcast.outbox group by xid having count(*) > 1000) x where xid < '4000000000'`); n > 0 {
				t.Fatalf("%s: a step made more than 1,000 rows new", name)
			}
			if one[*string](c, `select roomcast.assign_seqs()::text`) != nil || !one[bool](c, `select roomcast.has_unnumbered()`) {
				t.Fatalf("%s: something was numbered in the midst of it, or nobody would go on with it", name)
			}
			c.Exec(step)
			steps++
		}
		if steps < 3 {
			t.Errorf("%s: %d steps", name, steps)
		}
		for one[bool](c, `select roomcast.has_unnumbered()`) {
			c.Exec(`select roomcast.assign_seqs(most => 500)`)
		}
		const inOrder = `select count(*) = 2502 and count(distinct seq) = 2502 and max(seq) = 2502
			and bool_and(record not like '%waiting%' or before is null or before < seq) and bool_or(record like '%written here%' and (seq = 2502 or id < 5000000)) from (
			select g.first_seq + u.i - 1 as seq, o.id, o.record, max(g.first_seq + u.i - 1) filter (where o.id > 5000000 and o.id < 6000000) over (order by o.id rows between unbounded preceding and 1 preceding) as before
			  from roomcast.seq_ranges g cross join lateral unnest(g.ids) with ordinality as u (id, i) join roomcast.outbox o on o.id = u.id) n`
		if !one[bool](c, inOrder) {
			t.Errorf("%s: not numbered once each, in the order in which they were written", name)
		}
	}
}
