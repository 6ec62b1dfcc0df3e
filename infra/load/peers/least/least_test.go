package least

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"roomcast/shared/pusher/pushertest"
)

// The vector of Pusher's own documentation, testdata/vectors.md, section 1.
func TestSign(t *testing.T) {
	p := Pusher{AppID: "3", Key: "278d425bdf160c739803", Secret: "7ad3773142a6692b25b8"}
	body := `{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`
	query := p.sign("/apps/3/events", []byte(body), time.Unix(1353088179, 0))
	if want := "auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"; !strings.HasSuffix(query, want) {
		t.Errorf("query %s, want it to end in %s", query, want)
	}
}

// A peer that Pusher would refuse would be no peer: the emulator, which checks
// signatures and limits, takes what the hop posts.
func TestHopIsAcceptedByPusher(t *testing.T) {
	emulator, err := pushertest.New(pushertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer emulator.Close()
	c := emulator.Config()
	hop := &Hop{Secret: "s", Pusher: NewPusher(c.Host, c.AppID, c.Key, c.Secret, 2)}
	const record = `{"id": 9007199254740994, "room_id": "7", "content": "<b> 👋🏽"}`
	for _, tc := range []struct {
		secret, body string
		want         int
	}{
		{"s", `{"type":"INSERT","record":` + record + `}`, http.StatusAccepted},
		{"wrong", `{"type":"INSERT","record":` + record + `}`, http.StatusUnauthorized},
		{"s", `{"type":"INSERT","rec`, http.StatusBadRequest},
	} {
		r := httptest.NewRequest(http.MethodPost, "/webhooks/supabase", strings.NewReader(tc.body))
		r.Header.Set("Authorization", "Bearer "+tc.secret)
		w := httptest.NewRecorder()
		hop.ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("%s %s: status %d, want %d", tc.secret, tc.body, w.Code, tc.want)
		}
	}
	if err := hop.Pusher.Batch(t.Context(), []Event{{"private-room-8", "new-message", "{}"}, {"private-room-9", "new-message", "{}"}}); err != nil {
		t.Error(err)
	}
	events := emulator.Events()
	if len(events) != 3 || events[0].Channel != "private-room-7" || events[0].Data != record || events[2].Channel != "private-room-9" {
		t.Errorf("accepted %+v", events)
	}
}
