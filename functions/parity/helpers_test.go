package parity_test

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
	"roomcast/shared/web"
)

const (
	secret = "the-operator's-secret"
	user   = "8b9f3c0a-4a1e-4f6e-9d55-1c2f3a4b5c6d"
	page   = "0198c4a2-7b1e-4c2a-9f57-3d2b8e6a1c40"
)

var now = time.Date(2026, 11, 22, 20, 41, 0, 0, time.UTC)

// fake is a Store that notes what it is told, and tells what it is given.
type fake struct {
	mu      sync.Mutex
	outcome string
	err     error
	noted   []audit.Receipt
	told    []told

	deliveries audit.Deliveries
	parity     audit.Report
	since      time.Time
	findings   []audit.Finding
	auditErr   error
	entered    chan struct{} // if set, NoteReceipt says that it is there, and waits
	leave      chan struct{}
}

func (f *fake) NoteReceipt(_ context.Context, r audit.Receipt) (string, error) {
	if f.entered != nil {
		f.entered <- struct{}{}
		<-f.leave
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noted = append(f.noted, r)
	return f.outcome, f.err
}

func (f *fake) Parity(_ context.Context, since time.Time, _ int) (audit.Report, error) {
	f.since = since
	return f.parity, f.err
}

func (f *fake) Audit(context.Context, time.Duration) ([]audit.Finding, error) {
	return f.findings, f.auditErr
}

func (f *fake) NoteDelivery(_ context.Context, userID, page string, n int64, d audit.Delivered) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, told{userID, page, n, d})
	return f.outcome, f.err
}

func (f *fake) Deliveries(context.Context, time.Time) (audit.Deliveries, error) {
	return f.deliveries, f.err
}

// told is a delivery receipt that was noted.
type told struct {
	User, Page string
	N          int64
	audit.Delivered
}

// reader is a Reader that lets two users into the room "lobby" and the demo's.
type reader struct{}

func (reader) Reader(r *http.Request, room string) (string, error) {
	token, _ := web.Bearer(r)
	caller := map[string]string{"member": user, "another": "22222222-0000-4000-8000-000000000002"}[token]
	if caller == "" {
		return "", web.Unauthorized("token missing", nil)
	}
	if room == "elsewhere" {
		return "", web.Forbidden("you may not read this room", nil)
	}
	return caller, nil
}

func (reader) Caller(r *http.Request) (string, error) { return reader{}.Reader(r, "") }

// serve runs a handler over the store as the function would.
func serve(t *testing.T, store parity.Store) string {
	t.Helper()
	h := parity.New(parity.Config{Reader: reader{}, Store: store, Now: func() time.Time { return now }})
	mux := http.NewServeMux()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	mux.Handle("POST /parity", web.Handle(log, "POST /parity", h.Receive))
	mux.Handle("GET /parity", web.Handle(log, "GET /parity", h.Show, operator("an-older-secret", secret)))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/parity"
}

// operator is the credential of the report's reader.
func operator(secrets ...string) web.Option {
	return web.Credential(parity.Operator(web.NewSecrets(secrets, web.Addresses{}, time.Now)), nil)
}

// around is a histogram of n delays around a middle in milliseconds, with a tail.
func around(n, middle, spread float64) []int64 {
	out := make([]int64, parity.Buckets)
	at := 2 * math.Log2(middle)
	for i := range out {
		d := (float64(i) - 0.5 - at) / spread
		if d > 0 {
			d /= 1.5
		}
		out[i] = int64(n * math.Exp(-d*d/2) / (spread * 3.1))
	}
	return out
}

func zero(problem, table string) audit.Finding { return count(problem, table, 0) }

func count(problem, table string, n int64) audit.Finding {
	return audit.Finding{Problem: problem, Table: table, Count: &n}
}

func clean() []audit.Finding {
	return []audit.Finding{zero("missing", "public.messages"), zero("unnumbered", ""), zero("waiting", ""),
		zero("holes", ""), zero("parked", ""), zero("unroutable", "")}
}

// week is what is known of a good week: Supabase loses what its cuts cost, Roomcast
// nothing.
func week() *fake {
	f := &fake{outcome: audit.ReceiptNoted, findings: clean()}
	f.parity = audit.Report{At: now, RoomsActive: 14, RoomsWatched: 12}
	for i := range 168 {
		hour := now.Truncate(time.Hour).Add(time.Duration(i-167) * time.Hour)
		day := math.Max(0.04, math.Sin((float64(hour.Hour())-6)/24*2*math.Pi)) * (1 + 0.3*math.Sin(float64(i)))
		seen := int64(620 * day)
		c := audit.Cell{Hour: hour, Receipts: 1 + seen/9, Pages: 2 + seen/60, Committed: seen / 5, Seen: audit.Seen{
			Both: seen, PusherDelays: around(float64(seen), 34, 1.6), SupabaseDelays: around(float64(seen), 190, 2.1),
			Flips: seen / 400, PusherRepeats: seen / 300, Fetched: seen / 250,
		}}
		if i%19 == 7 {
			c.OnlyPusher, c.SupabaseRepeats, c.Skewed = 3+seen/40, 1, 1
		}
		f.parity.Hours = append(f.parity.Hours, c)
	}
	for i, room := range []string{"5ea51de0-0000-4000-8000-000000000010", "11647400-0000-4000-8000-000000000011", "release <party> & friends", "general", "support-de", "lounge"} {
		n := int64(9000 / (i + 1))
		f.parity.Rooms = append(f.parity.Rooms, audit.Cell{Room: room, Hour: now, Receipts: n / 9, Committed: n / 5, Seen: audit.Seen{
			Both: n, OnlyPusher: int64(max(0, 90-30*i)), Flips: n / 500, PusherRepeats: n / 700,
			PusherDelays: around(float64(n), 34, 1.6), SupabaseDelays: around(float64(n), 190, 2.1)}})
	}
	return f
}

// badWeek is week with what should hold everybody back.
func badWeek() *fake {
	f := week()
	f.parity.Hours[40].OnlySupabase, f.parity.Hours[41].OnlySupabase = 12, 5
	f.parity.Rooms[0].OnlySupabase = 17
	f.findings[0], f.findings[2], f.findings[4] = count("missing", "public.messages", 3), count("waiting", "", 41), count("parked", "", 2)
	f.findings = append(f.findings, audit.Finding{Problem: "missing", Table: "public.notes",
		Note: "not judged: no column tells when a row was written; name one with roomcast.auditing()"})
	f.parity.Repaired = 4
	return f
}
