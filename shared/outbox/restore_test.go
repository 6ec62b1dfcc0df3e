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
