package realtimetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/browser/realtimetest"
	"roomcast/shared/outbox/outboxtest"
)

// A real Postgres feeds the server: values as JSON, row level security by its own
// policies, and nothing of what happened while the feed was away.
func TestFeed(t *testing.T) {
	pg := outboxtest.Start(t, outboxtest.Options{Settings: map[string]string{"wal_level": "logical"}})
	url := pg.URL("postgres")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`create table messages (id uuid primary key, room_id text, reader text, n bigint, price numeric, ok bool, tags jsonb, created_at timestamptz)`)
	exec(`create role authenticated; grant select on messages to authenticated; alter table messages enable row level security`)
	exec(`create policy readers on messages for select to authenticated using (reader = current_setting('request.jwt.claims')::json->>'sub')`)
	exec(`create publication supabase_realtime for table messages`)

	var feed *realtimetest.Feed
	s := realtimetest.New(realtimetest.Options{LiveAfter: time.Millisecond, Poll: time.Millisecond,
		Verify: func(_ context.Context, sub string) (json.RawMessage, time.Time, error) {
			return json.RawMessage(`{"role":"authenticated","sub":"` + sub + `"}`), time.Time{}, nil
		},
		Visible: func(ctx context.Context, claims json.RawMessage, c realtimetest.Change) bool {
			return feed.Visible(ctx, claims, c)
		},
	})
	if feed, err = realtimetest.Follow(t.Context(), url, s); err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	c := dial(t, s, "2.0.0")
	c.join("ann", "room_id=eq.a")
	c.expect("phx_reply")
	c.expect("system")

	const id = "00000000-0000-4000-8000-000000000001"
	exec(`insert into messages values ('` + id[:35] + `2', 'a', 'bob')`)
	exec(`insert into messages values ('` + id + `', 'a', 'ann', 9223372036854775807, 1.50, true, '{"x": [1]}', '2026-11-22 20:27:53.116454+00')`)
	c.expect(`"type":"INSERT"`, `"record":{"id":"`+id+`","room_id":"a","reader":"ann","n":9223372036854775807,"price":1.50,"ok":true,"tags":{"x":[1]},"created_at":"2026-11-22T20:27:53.116454+00:00"}`,
		`{"name":"id","type":"uuid"}`)
	exec(`update messages set ok = false where id = '` + id + `'`)
	c.expect(`"type":"UPDATE"`, `"ok":false`, `"old_record":{"id":"`+id+`"}`)
	exec(`delete from messages where id = '` + id + `'`) // reaches no filter on room_id
	exec(`alter table messages replica identity full`)
	exec(`delete from messages`)
	c.expect(`"type":"DELETE"`, `"old_record":{"id":"`+id[:35]+`2"}`)
}

func TestFeedNeedsLogicalWAL(t *testing.T) {
	url := outboxtest.Database(t)
	if _, err := realtimetest.Follow(t.Context(), url, realtimetest.New(realtimetest.Options{})); !errors.Is(err, realtimetest.ErrWAL) {
		t.Errorf("got %v, want ErrWAL", err)
	}
}
