package presence_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/functions/presence"
	"roomcast/shared/access"
	"roomcast/shared/pusher"
	"roomcast/shared/web"
)

const (
	key    = "278d425bdf160c739803" // testdata/vectors.md
	secret = "7ad3773142a6692b25b8"
)

var now = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// desk is a Handler with a store that is made up.
type desk struct {
	route http.Handler
	said  []access.Presence
	at    time.Time
	err   error
	woken int

	verified int
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	client, err := pusher.New(pusher.Config{AppID: "3", Key: key, Secret: secret, Cluster: "eu"})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{}
	h := &presence.Handler{Verifier: client, Store: d, Announce: true, Wake: func() { d.woken++ }, Clock: func() time.Time { return now },
		Verified: func(*http.Request) { d.verified++ }}
	d.route = web.Handle(slog.New(slog.DiscardHandler), "POST /webhooks/pusher", h.Presence)
	return d
}

func (d *desk) NotePresence(_ context.Context, said []access.Presence, at time.Time, announce bool) ([]access.Presence, error) {
	if !announce {
		return nil, errors.New("not announced")
	}
	d.said, d.at = append(d.said, said...), at
	return said, d.err
}

func sign(body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func (d *desk) post(body string, edits ...func(http.Header)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/pusher", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Pusher-Key", key)
	r.Header.Set("X-Pusher-Signature", sign(body))
	for _, edit := range edits {
		edit(r.Header)
	}
	w := httptest.NewRecorder()
	d.route.ServeHTTP(w, r)
	return w
}

func hook(at time.Time, events ...string) string {
	return fmt.Sprintf(`{"time_ms":%d,"events":[%s]}`, at.UnixMilli(), strings.Join(events, ","))
}

func ev(name, channel, user string) string {
	return fmt.Sprintf(`{"name":%q,"channel":%q,"user_id":%q}`, name, channel, user)
}

func TestDigest(t *testing.T) {
	in := func(room, user string) access.Presence {
		return access.Presence{Room: room, UserID: user, Online: true}
	}
	out := func(room, user string) access.Presence { return access.Presence{Room: room, UserID: user} }
	const a, b = "presence-room-a", "presence-room-=C3=A9"
	for _, tc := range []struct {
		name   string
		events []string
		want   []access.Presence
	}{
		{"in and out", []string{ev("member_added", a, "u"), ev("member_removed", b, "v")}, []access.Presence{in("a", "u"), out("é", "v")}},
		{"the last word counts", []string{ev("member_added", a, "u"), ev("member_removed", a, "u"), ev("member_added", a, "u")}, []access.Presence{in("a", "u")}},
		{"vacated", []string{ev("member_added", a, "u"), ev("channel_vacated", a, ""), ev("member_added", a, "v")},
			[]access.Presence{out("a", "u"), out("a", ""), in("a", "v")}},
		{"others' channels", []string{ev("member_added", "presence-foobar", "u"), ev("channel_vacated", "private-room-a", ""), ev("member_added", "presence-room-=61", "u"),
			ev("member_added", "presence-room-=00", "u"), ev("member_added", "presence-room-=FF", "u")}, nil},
		{"others' events", []string{ev("channel_occupied", a, ""), ev("client_event", a, "u"), ev("subscription_count", a, "")}, nil},
		{"no user of ours", []string{ev("member_added", a, ""), `{"name":"member_added","channel":"` + a + `","user_id":"\u0000"}`, ev("member_added", a, strings.Repeat("x", 129))}, nil},
		{"nothing", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDesk(t)
			if w := d.post(hook(now, tc.events...)); w.Code != http.StatusNoContent {
				t.Fatalf("answered %d: %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(tc.want, d.said); diff != "" {
				t.Errorf("said (-want +got):\n%s", diff)
			}
			if tc.want != nil && (!d.at.Equal(now) || d.woken != 1) {
				t.Errorf("at %v, woke it %d times", d.at, d.woken)
			}
		})
	}
}

// Only Pusher is heard, only about now, and a database that is away makes it come again.
func TestRefusals(t *testing.T) {
	good := hook(now, ev("member_added", "presence-room-a", "u"))
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	for _, tc := range []struct {
		name, body string
		edit       func(http.Header)
		status     int
	}{
		{"as it should be", good, func(http.Header) {}, 204},
		{"of another app", good, set("X-Pusher-Key", "other"), 401},
		{"without a key", good, func(h http.Header) { h.Del("X-Pusher-Key") }, 401},
		{"unsigned", good, func(h http.Header) { h.Del("X-Pusher-Signature") }, 401},
		{"signed for another body", good, set("X-Pusher-Signature", sign(good+" ")), 401},
		{"signature cut", good, set("X-Pusher-Signature", sign(good)[:62]), 401},
		{"signature not hex", good, set("X-Pusher-Signature", strings.Repeat("z", 64)), 401},
		{"not JSON", "{", func(http.Header) {}, 400},
		{"a list", "[]", func(http.Header) {}, 400},
		{"empty", "", func(http.Header) {}, 400},
		{"without a time", `{"events":[]}`, func(http.Header) {}, 403},
		{"a time beyond all", `{"time_ms":1e300}`, func(http.Header) {}, 400},
		{"a recording", hook(now.Add(-10*time.Minute-time.Second), ev("member_added", "presence-room-a", "u")), func(http.Header) {}, 403},
		{"the last of five minutes' repeats, of a late leaving", hook(now.Add(-5*time.Minute-75*time.Second), ev("member_removed", "presence-room-a", "u")), func(http.Header) {}, 204},
		{"from the future", hook(now.Add(2*time.Minute), ev("member_added", "presence-room-a", "u")), func(http.Header) {}, 403},
		{"too large", hook(now, ev("member_added", "presence-room-a", strings.Repeat("x", 1<<20))), func(http.Header) {}, 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDesk(t)
			if w := d.post(tc.body, tc.edit); w.Code != tc.status {
				t.Errorf("answered %d, want %d: %s", w.Code, tc.status, w.Body)
			}
			if (d.said != nil) != (tc.status == 204) {
				t.Errorf("noted %v", d.said)
			}
			if work := map[int]int{204: 1}[tc.status]; d.verified != work && tc.status != 400 {
				t.Errorf("taken for work %d times", d.verified)
			}
		})
	}
	t.Run("database away", func(t *testing.T) {
		d := newDesk(t)
		d.err = errors.New("password=hunter2")
		w := d.post(good)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "hunter2") || d.woken != 0 {
			t.Errorf("answered %d %s, woke it %d times", w.Code, w.Body, d.woken)
		}
	})
}

// Whatever Pusher signs, nothing but rooms and users of ours reaches the database.
func FuzzPresence(f *testing.F) {
	f.Add(hook(now, ev("member_added", "presence-room-a", "u"), ev("channel_vacated", "presence-room-a", "")))
	f.Add(`{"time_ms":1795377600000,"events":[{"name":"member_removed","channel":"presence-room-=C3=A9","user_id":"\ud800"}]}`)
	f.Add(`{"time_ms":1795377600000,"events":[{"name":1}]}`)
	f.Add(`{"TIME_MS":1795377600000,"events":null,"events":[{}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		d := newDesk(t)
		switch w := d.post(body); w.Code {
		case 204, 400, 403, 413:
		default:
			t.Fatalf("answered %d", w.Code)
		}
		type place struct{ room, user string }
		seen := map[place]bool{}
		for _, p := range d.said {
			if p.Room == "" || strings.ContainsRune(p.Room+p.UserID, 0) || p.UserID == "" && p.Online || len(p.UserID) > 4*128 {
				t.Errorf("noted %+v", p)
			}
			if seen[place{p.Room, p.UserID}] {
				t.Errorf("two words on %+v", p)
			}
			seen[place{p.Room, p.UserID}] = true
		}
	})
}
