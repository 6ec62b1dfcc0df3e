package parity_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/web"
)

// From two pages' receipts to the parity report, with a real database between, as the
// role the function has: it may do this, and no more.
func TestFromReceiptToCertificate(t *testing.T) {
	const room = "aaaaaaaa-0000-4000-8000-000000000001"
	url := outboxtest.Chat(t)
	exec := func(sql string) {
		t.Helper()
		if err := outboxtest.Exec(t.Context(), url, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`update roomcast.attached_tables set attached_at = now() - interval '1 day';
		insert into messages (room_id, user_id, content) select '` + room + `', gen_random_uuid(), 'm' || n from generate_series(1, 5) n;
		alter table messages disable trigger roomcast_4_insert;
		insert into messages (room_id, user_id, content) values ('` + room + `', gen_random_uuid(), 'never captured');
		alter table messages enable trigger roomcast_4_insert`)
	db, err := outbox.Open(url+"&options=-c%20role%3Droomcast_relay", 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	h := parity.New(parity.Config{Reader: reader{}, Store: audit.Store{DB: db}})
	mux := http.NewServeMux()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	mux.Handle("POST /parity", web.Handle(log, "POST /parity", h.Receive))
	mux.Handle("GET /parity", web.Handle(log, "GET /parity", h.Show, operator(secret)))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	for _, body := range []string{ // the second one twice
		fmt.Sprintf(`{"page":%q,"n":1,"room":%q,"mode":"both","until":0,"both":4,"pusher":1}`, page, room),
		fmt.Sprintf(`{"page":%q,"n":2,"room":%q,"mode":"both","until":0,"both":3,"supabase":1,"fetched":2}`, page, room),
		fmt.Sprintf(`{"page":%q,"n":2,"room":%q,"mode":"both","until":0,"both":3,"supabase":1,"fetched":2}`, page, room),
	} {
		if status, _, answer := post(t, server.URL+"/parity", "member", body); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	_, _, body := do(t, "GET", server.URL+"/parity?hours=2", "", map[string]string{"Authorization": "Bearer " + secret})
	var r parity.Report
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if r.Messages != 5 || r.Both != 7 || r.OnlyPusher != 1 || r.OnlySupabase != 1 || r.Fetched != 2 || r.Receipts != 2 ||
		r.PageHours < 1 || r.Skewed != 2 || len(r.Rooms) != 1 || r.Rooms[0].Room != room {
		t.Errorf("report %+v", r)
	}
	if f := r.Audit[0]; f.Problem != "missing" || f.Count == nil || *f.Count != 1 {
		t.Errorf("audit %+v", r.Audit)
	}
	for _, c := range r.Verdict.Checks {
		if c.OK {
			t.Errorf("%s is passed", c.Name)
		}
	}
	// The function's role reads no table, and repairs nothing.
	for _, sql := range []string{"select * from roomcast.parity", "select roomcast.repair()", "select roomcast.auditing('messages', repairs => true)"} {
		err := outboxtest.Exec(t.Context(), url+"&options=-c%20role%3Droomcast_relay", sql)
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// A user who opens page after page and repeats receipts is one user, is named, and counts
// for no more than a bounded part.
func TestOneUserCountsOnce(t *testing.T) {
	const room = "aaaaaaaa-0000-4000-8000-000000000001"
	db, err := outbox.Open(outboxtest.Chat(t)+"&options=-c%20role%3Droomcast_relay", 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	store := audit.Store{DB: db}
	note := func(user string, page int, n, both int64) string {
		t.Helper()
		outcome, err := store.NoteReceipt(t.Context(), audit.Receipt{
			UserID: user, Page: fmt.Sprintf("0198c4a2-7b1e-4c2a-9f57-%012d", page), Room: room, N: n, Seen: audit.Seen{Both: both},
		})
		if err != nil {
			t.Fatal(err)
		}
		return outcome
	}
	const forger, honest = "f0000000-0000-4000-8000-000000000001", "a0000000-0000-4000-8000-000000000002"
	note(honest, 0, 1, 300)
	noted := 0
	for page := range 250 {
		if note(forger, page, 1, 10) == audit.ReceiptNoted {
			noted++
		}
	}
	if noted != 200 {
		t.Errorf("%d pages of one user were noted within the hour, want 200", noted)
	}
	if outcome := note(forger, 0, 2, 19_000); outcome != audit.ReceiptMany {
		t.Errorf("21,000 messages in an hour are %s", outcome)
	}
	for range 60 {
		if outcome := note(forger, 0, 1, 10); outcome != audit.ReceiptRepeat {
			t.Fatalf("a repeat is %s", outcome)
		}
	}
	r, err := parity.Compile(t.Context(), store, parity.DefaultAsk(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if r.PageHours != 2 {
		t.Errorf("two users are %d page-hours", r.PageHours)
	}
	w := r.Reporters
	if w.Users != 2 || w.MostOfOne != 2000 || w.OfAll != 2300 || len(w.First) != 2 || w.First[0].ID != forger {
		t.Errorf("reporters %+v", w)
	}
	for _, c := range r.Verdict.Checks {
		if c.Name == "Users" && c.OK {
			t.Error("one user's word for 87 % of it is enough")
		}
	}
}
