package outboxtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox"
)

// Names that tests of the database use.
const (
	RoomA = "aaaaaaaa-0000-4000-8000-000000000001"
	RoomB = "bbbbbbbb-0000-4000-8000-000000000002"
	User1 = "11111111-0000-4000-8000-000000000001"
	User2 = "22222222-0000-4000-8000-000000000002"

	// InsertMessage takes room, user and content.
	InsertMessage = `insert into messages (room_id, user_id, content) values ($1, $2, $3)`
)

// Fixture is a database with a chat, a connection to write with, and a relay's DB. Its
// methods end the test where they fail.
type Fixture struct {
	*testing.T
	URL  string
	Conn *pgx.Conn
	DB   *outbox.DB
}

// NewFixture makes one; its database is dropped when the test ends.
func NewFixture(t *testing.T) *Fixture {
	t.Helper()
	url := Chat(t)
	return &Fixture{T: t, URL: url, Conn: Connect(t, url), DB: Open(t, url)}
}

// Connect opens a connection that is closed when the test ends.
func Connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Open opens a relay's DB that is closed when the test ends.
func Open(t *testing.T, url string) *outbox.DB {
	t.Helper()
	db, err := outbox.Open(Pooled(t, url), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// Exec runs a statement on Conn.
func (c *Fixture) Exec(sql string, args ...any) {
	c.Helper()
	if _, err := c.Conn.Exec(c.Context(), sql, args...); err != nil {
		c.Fatalf("%s: %v", sql, err)
	}
}

// One asks for one value on Conn.
func One[T any](c *Fixture, sql string, args ...any) (v T) {
	c.Helper()
	if err := c.Conn.QueryRow(c.Context(), sql, args...).Scan(&v); err != nil {
		c.Fatalf("%s: %v", sql, err)
	}
	return v
}

// Claim takes all there is, as relay name.
func (c *Fixture) Claim(name string) map[string]outbox.Room {
	c.Helper()
	rooms, err := c.DB.Claim(c.Context(), name, outbox.Limits{Rows: 100_000, PerRoom: 100_000, Lease: time.Minute})
	if err != nil {
		c.Fatal(err)
	}
	out := map[string]outbox.Room{}
	for _, r := range rooms {
		out[r.ID] = r
	}
	return out
}

// Brief writes a claimed room as "seq op content-or-keys", one line per row.
func Brief(r outbox.Room) (lines []string) {
	for _, row := range r.Rows {
		var record map[string]any
		_ = json.Unmarshal(row.Change.Record, &record)
		what := record["content"]
		if what == nil {
			what = strings.Join(slices.Sorted(maps.Keys(record)), ",")
		}
		lines = append(lines, fmt.Sprintf("%d %s %v", row.Seq, row.Change.Op, what))
	}
	return lines
}

// WantClaim compares a claimed room with lines as [Brief] writes them.
func (c *Fixture) WantClaim(got outbox.Room, want ...string) {
	c.Helper()
	if diff := cmp.Diff(want, Brief(got)); diff != "" {
		c.Errorf("claimed rows (-want +got):\n%s", diff)
	}
}

// AckAll acks every row of the rooms.
func (c *Fixture) AckAll(rooms map[string]outbox.Room) {
	c.Helper()
	var acks []outbox.Ack
	for _, r := range rooms {
		acks = append(acks, outbox.Ack{Room: r.ID, Fence: r.Fence, Seq: r.Rows[len(r.Rows)-1].Seq})
	}
	if refused, err := c.DB.Ack(c.Context(), acks); err != nil || len(refused) > 0 {
		c.Fatalf("ack: refused %v, err %v", refused, err)
	}
}

// Wakeups counts the wake-ups on their way.
func (c *Fixture) Wakeups() int {
	c.Helper()
	return One[int](c, `select count(*) from net.http_request_queue`)
}

// FallAsleep configures the wake-up and puts the relay to sleep.
func (c *Fixture) FallAsleep() {
	c.Helper()
	c.Exec(`select roomcast.configure(url => 'http://127.0.0.1:1/webhooks/supabase', secret => 'long-enough-for-a-webhook-secret-0')`)
	c.Exec(`select roomcast.leave_awake()`)
}
