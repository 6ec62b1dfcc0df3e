package history_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"roomcast/functions/history"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/web"
)

// The caller's own stream is read under the caller's key, whatever is asked for; a room
// whose id looks like that key is another.
func TestMine(t *testing.T) {
	d := &desk{found: outbox.History{Epoch: "k3f9", Head: 1, First: 1, Last: 1, Changes: []event.Change{
		{Op: event.Send, Name: "invited", Record: json.RawMessage(`{"room":"r"}`), Position: &event.Position{Seq: 1, Epoch: "k3f9", At: "t"}},
	}}}
	w := d.get(t, "/me/events?after=0&epoch=k3f9")
	want := `{"room":"","epoch":"k3f9","head":1,"last":1,"events":[{"name":"invited","data":{"room":"r","roomcast":{"seq":1,"epoch":"k3f9","at":"t"}}}],"more":false,"reset":false}` + "\n"
	if diff := gocmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d.get(t, "/rooms/@"+user+"/events")
	if d.asked[0].Room != "@"+user || d.asked[1].Room != "@@"+user || d.asked[0].UserID != user {
		t.Errorf("asked %+v", d.asked)
	}
}

// A page says how often to poll, and nothing while Pusher is well.
func TestPoll(t *testing.T) {
	d := &desk{poll: 12, found: outbox.History{First: 1}}
	for _, body := range []string{
		d.get(t, "/rooms/r/events").Body.String(), d.get(t, "/me/events").Body.String(), d.post(t, `{"rooms":{"r":{}}}`).Body.String(),
	} {
		if !strings.Contains(body, `"poll":12`) {
			t.Errorf("%s", body)
		}
	}
}

// Many rooms are answered as each would be, and a refusal of one is its own.
func TestMany(t *testing.T) {
	d := &desk{
		found: outbox.History{Epoch: "k3f9", Head: 9, First: 1, Last: 4, Changes: []event.Change{change(event.Insert, 4, `{"id":1}`)}},
		refused: map[string]error{
			"other": web.Forbidden("you may not read this room", nil), "later": web.Unavailable("access cannot be checked right now", 2, errors.New("secret")),
		},
	}
	w := d.post(t, `{"rooms":{"r":{"after":3,"epoch":"k3f9","limit":50},"new":{"limit":0},"@x":{"after":7},"other":{},"later":{}}}`)
	var got struct {
		Rooms map[string]struct {
			history.Page
			Status int
			Error  string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if p := got.Rooms["r"]; p.Room != "r" || p.Head != 9 || p.Last != 4 || len(p.Events) != 1 || !p.More || p.Status != 0 {
		t.Errorf("r: %+v", p)
	}
	if got.Rooms["other"].Status != 403 || got.Rooms["later"].Status != 503 || got.Rooms["other"].Error == "" || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("refused: %s", w.Body)
	}
	slices.SortFunc(d.asked, func(a, b outbox.HistoryQuery) int { return cmp.Compare(a.Room, b.Room) })
	want := []outbox.HistoryQuery{
		{Room: "@@x", UserID: user, After: 7, Max: 100},
		{Room: "new", UserID: user},
		{Room: "r", UserID: user, After: 3, Epoch: "k3f9", Max: 50},
	}
	if diff := gocmp.Diff(want, d.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestManyErrors(t *testing.T) {
	hundredAndOne := `{"rooms":{`
	for i := range 101 {
		hundredAndOne += fmt.Sprintf(`"%d":{},`, i)
	}
	hundredAndOne = strings.TrimSuffix(hundredAndOne, ",") + "}}"
	for _, tt := range []struct {
		body   string
		desk   desk
		status int
		field  string
	}{
		{`{"rooms":`, desk{}, 400, "body"},
		{`{"rooms":[]}`, desk{}, 400, "body"},
		{`{"rooms":{"r":{"after":"1"}}}`, desk{}, 400, "body"},
		{`{}`, desk{}, 400, "rooms"},
		{hundredAndOne, desk{}, 400, "rooms"},
		{`{"rooms":{"":{}}}`, desk{}, 400, "rooms"},
		{`{"rooms":{"r":{"after":-1}}}`, desk{}, 400, "after"},
		{`{"rooms":{"r":{"limit":501}}}`, desk{}, 400, "limit"},
		{`{"rooms":{"r":{"epoch":"?"}}}`, desk{}, 400, "epoch"},
		{`{"rooms":{"r":{}}}` + strings.Repeat(" ", 65<<10), desk{}, 413, "body"},
		{`{"rooms":{"r":{}}}`, desk{refusal: web.Unauthorized("no token", nil)}, 401, "Authorization"},
		{`{"rooms":{"r":{}}}`, desk{err: errors.New("secret of the database")}, 503, ""},
	} {
		w := tt.desk.post(t, tt.body)
		var got struct{ Error, Field string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != tt.status || got.Field != tt.field || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%.60s: %d %s, want %d naming %q", tt.body, w.Code, w.Body, tt.status, tt.field)
		}
	}
}
