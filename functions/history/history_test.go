package history_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/functions/history"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/web"
)

const user = "8b9f3c0a-4a1e-4f6e-9d55-1c2f3a4b5c6d"

// desk is a Handler between an authorizer and a store that are made up.
type desk struct {
	refusal error
	refused map[string]error // by room
	poll    int
	found   outbox.History
	err     error
	asked   []outbox.HistoryQuery
	allowed int    // times that somebody was asked who may read
	during  func() // a question to the database
}

func (d *desk) Reader(*http.Request, string) (string, error) {
	d.allowed++
	return user, d.refusal
}

func (d *desk) Caller(*http.Request) (string, error) { return user, d.refusal }

func (d *desk) Readers(_ *http.Request, rooms []string) (string, []error, error) {
	d.allowed++
	refusals := make([]error, len(rooms))
	for i, room := range rooms {
		refusals[i] = d.refused[room]
	}
	return user, refusals, d.refusal
}

func (d *desk) Histories(ctx context.Context, queries []outbox.HistoryQuery, _ int) (pages []outbox.History, err error) {
	for _, q := range queries {
		page, err := d.History(ctx, q)
		if err != nil {
			return nil, err
		}
		pages = append(pages, page)
	}
	return pages, nil
}

func (d *desk) History(_ context.Context, q outbox.HistoryQuery) (outbox.History, error) {
	d.asked = append(d.asked, q)
	if d.during != nil {
		d.during()
	}
	return d.found, d.err
}

func (d *desk) get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	return d.serve(httptest.NewRequest(http.MethodGet, path, nil))
}

func (d *desk) post(t *testing.T, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return d.serve(r)
}

func (d *desk) serve(r *http.Request) *httptest.ResponseRecorder {
	h := &history.Handler{Authorizer: d, Store: d, Log: slog.New(slog.DiscardHandler), Poll: func() int { return d.poll }}
	mux := http.NewServeMux()
	handle := func(pattern string, fn web.HandlerFunc) {
		mux.Handle(pattern, web.Handle(slog.New(slog.DiscardHandler), "", fn))
	}
	handle("GET /rooms/{room}/events", h.Events)
	handle("GET /me/events", h.Mine)
	handle("POST /events", h.Many)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func change(op event.Op, seq int64, record string) event.Change {
	return event.Change{Kind: event.Rows, Op: op, Room: "r", Record: json.RawMessage(record),
		Keys: []string{"id"}, Position: &event.Position{Seq: seq, Epoch: "k3f9", At: "2026-11-22T20:27:53.116454+00:00"}}
}

func TestPage(t *testing.T) {
	large := strings.Repeat("x", 20_000)
	d := &desk{found: outbox.History{
		Epoch: "k3f9", Head: 9, First: 1, Last: 6, Changes: []event.Change{
			change(event.Insert, 4, `{"id":9223372036854775807,"content":"<b>`+large+`"}`),
			change("TRUNCATE", 5, `{"id":1}`), // no rule: it was parked
			change(event.Delete, 6, `{"id":2,"content":"gone"}`),
		},
	}}
	w := d.get(t, "/rooms/r/events?after=3&epoch=k3f9&limit=500")
	want := `{"room":"r","epoch":"k3f9","head":9,"last":6,"events":[` +
		`{"name":"new-message","data":{"id":9223372036854775807,"content":"<b>` + large + `","roomcast":{"seq":4,"epoch":"k3f9","at":"2026-11-22T20:27:53.116454+00:00"}}},` +
		`{"name":"message-deleted","data":{"id":2,"roomcast":{"seq":6,"epoch":"k3f9","at":"2026-11-22T20:27:53.116454+00:00"}}}` +
		`],"more":true,"reset":false}` + "\n"
	if diff := cmp.Diff(want, w.Body.String()); w.Code != http.StatusOK || diff != "" {
		t.Errorf("%d (-want +got):\n%s", w.Code, diff)
	}
	if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	asked := []outbox.HistoryQuery{{Room: "r", UserID: user, After: 3, Epoch: "k3f9", Max: 500}}
	if diff := cmp.Diff(asked, d.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// A row whose JSON is nested further than an answer can be is a stub: it takes no other
// row's history with it.
func TestDeepRecord(t *testing.T) {
	deep := strings.Repeat("[", 10_500) + strings.Repeat("]", 10_500)
	d := &desk{found: outbox.History{Epoch: "e", Head: 3, Last: 3, Changes: []event.Change{
		change(event.Insert, 1, `{"id":"a","content":"one"}`),
		change(event.Insert, 2, `{"meta": `+deep+`, "id": "b \" [", "n": 1.50}`),
		change(event.Insert, 3, `{"id":"c","content":"`+strings.Repeat("[", 30_000)+`"}`),
	}}}
	got := d.get(t, "/rooms/r/events")
	if got.Code != http.StatusOK {
		t.Fatalf("%d %.200s", got.Code, got.Body)
	}
	var page struct {
		Events []struct {
			Data struct {
				ID       string
				Content  string
				Roomcast struct {
					Seq  int64
					Stub bool
				}
			}
		}
	}
	if err := json.Unmarshal(got.Body.Bytes(), &page); err != nil || len(page.Events) != 3 {
		t.Fatalf("%d events, %v", len(page.Events), err)
	}
	if e := page.Events[1].Data; e.ID != `b " [` || !e.Roomcast.Stub || e.Roomcast.Seq != 2 {
		t.Errorf("the deep one is %+v", e)
	}
	if e := page.Events[2].Data; e.Roomcast.Stub || len(e.Content) != 30_000 {
		t.Errorf("a text is taken for nesting: %.100v", e)
	}
}

func TestEmptyPage(t *testing.T) {
	d := &desk{found: outbox.History{First: 1, Reset: true}}
	w := d.get(t, "/rooms/caf%C3%A9%2F%20x/events")
	want := `{"room":"café/ x","epoch":"","head":0,"last":0,"events":[],"more":false,"reset":true}` + "\n"
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d.asked[0] != (outbox.HistoryQuery{Room: "café/ x", UserID: user, Max: 100}) {
		t.Errorf("asked %+v", d.asked[0])
	}
}

func TestErrors(t *testing.T) {
	forbidden := web.Forbidden("you may not read this room", nil)
	for _, tt := range []struct {
		path   string
		desk   desk
		status int
		field  string
	}{
		{"/rooms/r/events?after=-1", desk{}, 400, "after"},
		{"/rooms/r/events?after=%2B1", desk{}, 400, "after"},
		{"/rooms/r/events?after=1.5", desk{}, 400, "after"},
		{"/rooms/r/events?after=9223372036854775807", desk{}, 400, "after"},
		{"/rooms/r/events?after=1&after=2", desk{}, 400, "after"},
		{"/rooms/r/events?limit=501", desk{}, 400, "limit"},
		{"/rooms/r/events?limit=ten", desk{}, 400, "limit"},
		{"/rooms/r/events?epoch=%00", desk{}, 400, "epoch"},
		{"/rooms/r/events?epoch=" + strings.Repeat("a", 65), desk{}, 400, "epoch"},
		{"/rooms/r/events?after=%zz", desk{}, 400, "query"},
		{"/rooms/" + strings.Repeat("r", 200) + "/events", desk{}, 400, "room"},
		{"/rooms/r/events", desk{refusal: forbidden}, 403, ""},
		{"/rooms/r/events", desk{err: errors.New("secret of the database")}, 503, ""},
	} {
		w := tt.desk.get(t, tt.path)
		var got struct{ Error, Field string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != tt.status || got.Field != tt.field || got.Error == "" {
			t.Errorf("%.60s: %d %s, want %d naming %q", tt.path, w.Code, w.Body, tt.status, tt.field)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("told the caller: %s", w.Body)
		}
		if (tt.status == 400 || tt.status == 403) && len(tt.desk.asked) > 0 {
			t.Errorf("%.60s: asked the database", tt.path)
		}
	}
}

// Where nothing is kept nobody is asked who may read it.
func TestForwardOnlyHasNoHistory(t *testing.T) {
	d := &desk{}
	h := &history.Handler{Authorizer: d}
	r := httptest.NewRequest(http.MethodGet, "/rooms/r/events", nil)
	r.SetPathValue("room", "r")
	for _, answer := range []web.HandlerFunc{h.Events, h.Mine, h.Many} {
		var refusal *web.Error
		if err := answer(httptest.NewRecorder(), r); !errors.As(err, &refusal) || refusal.Status != http.StatusNotFound {
			t.Errorf("got %v, want 404", err)
		}
	}
	if d.allowed > 0 {
		t.Errorf("asked %d times", d.allowed)
	}
}

// A membership that ends while a slow database reads the events is noticed; a quick one asks
// once.
func TestMembershipEndsWhileEventsAreRead(t *testing.T) {
	for took, want := range map[time.Duration]struct{ status, asked int }{
		4 * time.Second: {http.StatusForbidden, 2}, yesFor: {http.StatusOK, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			gone := web.Forbidden("you may not read this room", nil)
			one := &desk{found: outbox.History{First: 1}}
			one.during = func() { time.Sleep(took); one.refusal = gone }
			if w := one.get(t, "/rooms/r/events"); w.Code != want.status || one.allowed != want.asked {
				t.Errorf("%v: %d, asked %d times", took, w.Code, one.allowed)
			}
			many := &desk{found: outbox.History{First: 1}, refused: map[string]error{}}
			many.during = func() { time.Sleep(took / 2); many.refused["left"] = gone }
			w := many.post(t, `{"rooms":{"left":{},"stays":{}}}`)
			var got struct {
				Rooms map[string]struct{ Status int }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || many.allowed != want.asked {
				t.Fatalf("%v: %d %s, asked %d times", took, w.Code, w.Body, many.allowed)
			}
			if status := got.Rooms["left"].Status; (status == http.StatusForbidden) != (want.status == http.StatusForbidden) || got.Rooms["stays"].Status != 0 {
				t.Errorf("%v: %s", took, w.Body)
			}
		})
	}
}

const yesFor = time.Second // as the handler has it
