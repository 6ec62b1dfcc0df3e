package pgnet_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgnet"
)

func database(t *testing.T) string {
	t.Helper()
	return outboxtest.DatabaseFrom(t, "pgnet", func(ctx context.Context, url string) error {
		if err := pgnet.Install(ctx, url); err != nil {
			return err
		}
		return pgnet.Install(ctx, url) // twice is harmless
	})
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func start(t *testing.T, url string) *pgnet.Sender {
	t.Helper()
	s, err := pgnet.Start(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// ask scans one value, again and again until it equals want.
func ask[T comparable](t *testing.T, conn *pgx.Conn, want T, sql string, args ...any) {
	t.Helper()
	var got T
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err := conn.QueryRow(t.Context(), sql, args...).Scan(&got); err == nil && got == want {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("%s: got %v, want %v", sql, got, want)
}

// TestRequestAsCaptured compares a request with one recorded from pg_net 0.20.4.
func TestRequestAsCaptured(t *testing.T) {
	received := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- r
		bodies <- string(body)
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "thanks")
	}))
	defer server.Close()
	url := database(t)
	start(t, url)
	conn := connect(t, url)

	var id int64
	err := conn.QueryRow(t.Context(), `select net.http_post(
		url => $1, body => '{"a": "hi 👋🏽"}', params => '{"q": "a b&ü"}',
		headers => '{"Content-type": "application/json", "Authorization": "Bearer s3cret"}',
		timeout_milliseconds => 2000)`, server.URL+"/hook").Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	r := <-received
	want := http.Header{
		"Accept":         {"*/*"},
		"Content-Type":   {"application/json"},
		"Authorization":  {"Bearer s3cret"},
		"User-Agent":     {"pg_net/0.20.4"},
		"Content-Length": {"20"},
	}
	if diff := cmp.Diff(want, r.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if r.RequestURI != "/hook?q=a%20b%26%C3%BC" {
		t.Errorf("uri %s", r.RequestURI)
	}
	if body := <-bodies; body != `{"a": "hi 👋🏽"}` {
		t.Errorf("body %s", body)
	}
	ask(t, conn, "202 text/plain thanks f", `
		select concat_ws(' ', status_code, content_type, content, timed_out) from net._http_response where id = $1`, id)
}

func TestNothingIsSentAgain(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	url := database(t)
	s := start(t, url)
	conn := connect(t, url)
	post := func() (id int64) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), `select net.http_post($1)`, server.URL).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	refused := post()
	ask(t, conn, 503, `select status_code from net._http_response where id = $1`, refused)
	server.Close()
	unreachable := post()
	ask(t, conn, true, `select error_msg is not null and not timed_out from net._http_response where id = $1`, unreachable)
	ask(t, conn, 0, `select count(*)::int from net.http_request_queue`)
	if s.Requests() != 2 || s.Failures() != 1 {
		t.Errorf("%d requests, %d failures, want 2 and 1", s.Requests(), s.Failures())
	}
}

func TestInFlightRowsStayVisible(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}))
	defer server.Close()
	url := database(t)
	start(t, url)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), `select net.http_post($1)`, server.URL); err != nil {
		t.Fatal(err)
	}
	<-arrived
	var waiting int
	if err := conn.QueryRow(t.Context(), `select count(*) from net.http_request_queue`).Scan(&waiting); err != nil || waiting != 1 {
		t.Errorf("%d rows while in flight (%v), want 1", waiting, err)
	}
	close(release)
	ask(t, conn, 0, `select count(*)::int from net.http_request_queue`)
}

func TestTimeoutIsRecorded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))
	defer server.Close()
	url := database(t)
	start(t, url)
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), `select net.http_get($1, timeout_milliseconds => 50)`, server.URL); err != nil {
		t.Fatal(err)
	}
	ask(t, conn, true, `select timed_out from net._http_response`)
}

func TestRollbackSendsNothing(t *testing.T) {
	got := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.URL.Path
	}))
	defer server.Close()
	url := database(t)
	start(t, url)
	conn := connect(t, url)
	for _, sql := range []string{
		"begin; select net.http_post('" + server.URL + "/rolled-back'); rollback",
		"select net.http_post('" + server.URL + "/committed')",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if path := <-got; path != "/committed" {
		t.Errorf("first request: %s", path)
	}
}

// TestSenderSurvivesACrash shows the loss that the outbox exists for, too: the
// queue is unlogged.
func TestSenderSurvivesACrash(t *testing.T) {
	got := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got <- struct{}{} }))
	defer server.Close()
	cluster := outboxtest.Start(t, outboxtest.Options{Durable: true})
	url := cluster.URL("postgres")
	if err := pgnet.Install(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	start(t, url)
	if err := cluster.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, url).Exec(t.Context(), `select net.http_post($1)`, server.URL); err != nil {
		t.Fatal(err)
	}
	<-got
}

// TestSleepsWithRowsQueued: a lock on its tables for a moment, and what was queued then
// stays queued until somebody wakes the worker.
func TestSleepsWithRowsQueued(t *testing.T) {
	got := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got <- struct{}{} }))
	defer server.Close()
	url := database(t)
	s, conn := start(t, url), connect(t, url)
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `lock table net._http_response in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	before := s.Locked()
	if _, err := conn.Exec(t.Context(), `select net.http_post($1)`, server.URL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); s.Locked() == before; {
		if time.Now().After(deadline) {
			t.Fatal("it did not look")
		}
		<-time.After(time.Millisecond)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(t, conn, 1, `select count(*)::int from net.http_request_queue`)
	if n := s.Requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
	if _, err := conn.Exec(t.Context(), `select net.wake()`); err != nil {
		t.Fatal(err)
	}
	<-got
}

func TestWrongContentTypeIsRefused(t *testing.T) {
	conn := connect(t, database(t))
	_, err := conn.Exec(t.Context(), `select net.http_post('http://127.0.0.1:1', headers => '{"content-type": "text/plain"}')`)
	if err == nil {
		t.Error("accepted")
	}
	var headers json.RawMessage
	if _, err := conn.Exec(t.Context(), `select net.http_post('http://127.0.0.1:1', headers => '{"a": "b"}')`); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), `select headers from net.http_request_queue`).Scan(&headers); err != nil {
		t.Fatal(err)
	}
	if string(headers) != `{"a": "b", "Content-Type": "application/json"}` {
		t.Errorf("headers %s", headers)
	}
}
