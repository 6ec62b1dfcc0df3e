package outbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/access"
	"roomcast/shared/admin"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

func TestMigrateTwiceIsHarmless(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "before")
	if err := admin.Migrate(t.Context(), c.URL); err != nil {
		t.Fatal(err)
	}
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT before")
}

// A database restored into another cluster counts its transactions from a lower
// number: what nobody has numbered is still found.
func TestRestoredDatabase(t *testing.T) {
	c := newChat(t)
	if err := c.DB.StartAwake(t.Context(), time.Second, ""); err != nil {
		t.Fatal(err)
	}
	c.Exec(insertMessage, roomA, user1, "sent before the copy")
	c.AckAll(c.Claim("r"))
	epoch := one[string](c, `select incarnation from roomcast.settings`)
	c.Exec(`insert into roomcast.cursor (next_xid, open_xids) values ('4000000000', '{}')`) // the old cluster was far ahead
	c.Exec(insertMessage, roomA, user1, "written after it")
	c.Claim("r") // notices it, and waits for leases that may have been taken back
	c.Exec(`update roomcast.settings set claims_from = null`)
	c.WantClaim(c.Claim("r")[roomA], "2 INSERT written after it")

	c.Exec(`update roomcast.settings set identity = 'another cluster:' || identity`)
	if err := c.DB.StartAwake(t.Context(), time.Second, ""); err != nil {
		t.Fatal(err)
	}
	if now := one[string](c, `select incarnation from roomcast.settings`); now == epoch {
		t.Errorf("the epoch is still %s in another cluster", now)
	}
}

func TestDropLeavesTheTablesAsTheyWere(t *testing.T) {
	c := newChat(t)
	c.Exec(`drop schema roomcast cascade`)
	if n := one[int](c, `select count(*) from pg_trigger where tgrelid in ('messages'::regclass, 'room_participants'::regclass) and not tgisinternal`); n != 0 {
		t.Errorf("%d triggers are left", n)
	}
	c.Exec(insertMessage, roomA, user1, "life goes on")
	if err := admin.Migrate(t.Context(), c.URL); err != nil {
		t.Fatalf("install again: %v", err)
	}
}

// The relay's role may call the relay's functions and nothing else.
func TestRelayRoleReadsNothing(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "private")
	c.Exec(`alter role roomcast_relay login password 'relay'`)
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	relay := outboxtest.Open(t, fmt.Sprintf("postgres://roomcast_relay:relay@%s:%d/%s?sslmode=disable", config.Host, config.Port, config.Database))
	if err := relay.StartAwake(t.Context(), time.Second, ""); err != nil {
		t.Errorf("wake: %v", err)
	}
	rooms, err := relay.Claim(t.Context(), "relay", outbox.Limits{Rows: 10, PerRoom: 10, Lease: time.Minute})
	if err != nil || len(rooms) != 1 {
		t.Fatalf("claim: %v, %v", rooms, err)
	}
	if _, err := relay.Ack(t.Context(), []outbox.Ack{{Room: roomA, Fence: rooms[0].Fence, Seq: 1}}); err != nil {
		t.Errorf("ack: %v", err)
	}
	if _, err := relay.MaySleep(t.Context()); err != nil {
		t.Errorf("may rest: %v", err)
	}
	if _, err := (access.Store{DB: relay}).CanRead(t.Context(), roomA, user1, []byte(`{}`)); err != nil {
		t.Errorf("can read: %v", err)
	}
	c.Exec(`set role roomcast_relay`)
	for _, sql := range []string{
		`select * from public.messages`, `select * from public.room_participants`, `select * from roomcast.outbox`,
		`select * from roomcast.settings`, `select roomcast.wakeup_secret()`, `select roomcast.request_wakeup()`,
		`select roomcast.configure(secret => 'stolen-stolen')`, `select roomcast.attach_messages('public.messages')`,
		`insert into roomcast.outbox (attached, op, room, key_hash, record) values (1, 'INSERT', 'x', 0, '{}')`,
	} {
		if _, err := c.Conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: error %v, want permission denied", sql, err)
		}
	}
}
