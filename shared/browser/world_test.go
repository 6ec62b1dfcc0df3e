package browser_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"roomcast/shared/browser"
	"roomcast/shared/browser/realtimetest"
	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/token/tokentest"
)

// world is all that a client meets: the emulators of Pusher and of Realtime, the
// function with its database made up, and Supabase Auth as far as sessions go. Its
// control routes (control_test.go) let a test in JavaScript make things happen.
type world struct {
	t        *testing.T
	url      string
	pusher   *pushertest.Server
	publish  *pusher.Client
	realtime *realtimetest.Server
	ctx      context.Context

	mu     sync.Mutex
	rooms  map[string]*room
	oldest int             // tokens of an earlier generation have expired
	issued int             // generations so far
	denied map[string]bool // rooms that nobody may read
	down   bool            // the function answers 503
	plan   browser.Plan
	counts map[string]int // requests by route
	mux    *http.ServeMux
	wire   *wire // to Pusher
	poll   int   // seconds: what pages are advised while publishing is refused
	signin int   // sign-ins that fail
	reads  map[string]map[string]int64
	// What the function does for a user in place of its work: "refuse" the token, answer
	// "rubbish", be "down".
	moods map[string]string
}

// stored is a numbered change: as it is pushed, and as the history has it.
type stored struct {
	void         bool // deleted by hand: its number is void
	pushed, full event.Event
}

// room is what the outbox has of one.
type room struct {
	epoch   string
	first   int64       // the oldest seq still kept
	changes []stored    // by seq, from 1
	written int         // messages so far
	queue   chan parcel // to Pusher, in order
}

func newWorld(t *testing.T) *world {
	server := pushertest.Start(t, pushertest.Options{})
	client, err := pusher.New(server.Config())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, pusher: server, publish: client, ctx: t.Context(), rooms: map[string]*room{},
		denied: map[string]bool{}, counts: map[string]int{}, moods: map[string]string{}, wire: newWire(t, server.Addr()), plan: browser.Plan{Mode: browser.Pusher}}
	w.realtime = realtimetest.New(realtimetest.Options{Verify: func(_ context.Context, compact string) (json.RawMessage, time.Time, error) {
		_, err := w.user(compact)
		return nil, time.Time{}, err
	}})
	mux := http.NewServeMux()
	w.mux = mux
	w.function(mux)
	w.supabase(mux)
	w.control(mux)
	h := httptest.NewUnstartedServer(mux)
	w.url = "http://" + h.Listener.Addr().String()
	h.Start()
	t.Cleanup(h.Close)
	t.Cleanup(w.realtime.Cut)
	return w
}

// token mints an access token of a new generation.
func (w *world) token(user string) string {
	w.mu.Lock()
	w.issued++
	generation := w.issued
	w.mu.Unlock()
	claims := tokentest.Claims(w.url, user, time.Now())
	claims["generation"] = generation
	compact, err := tokentest.HS256("secret").Sign(claims)
	if err != nil {
		w.t.Error(err)
	}
	return compact
}

var errToken = errors.New("token has expired")

// user reads a token that has not been made to expire.
func (w *world) user(compact string) (string, error) {
	var claims struct {
		Sub        string
		Generation int
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return "", errToken
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return "", errToken
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if claims.Generation < w.oldest {
		return "", errToken
	}
	return claims.Sub, nil
}

// function stands for the function's own routes.
func (w *world) function(mux *http.ServeMux) {
	w.handle(mux, "GET /roomcast.js", browser.NewScript().Serve)
	w.handle(mux, "GET /parts/{part}", browser.NewParts().Serve)
	w.handle(mux, "GET /roomcast.json", func(rw http.ResponseWriter, r *http.Request) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.plan.Serve(rw, r)
	})
	w.handle(mux, "POST /pusher/auth", func(rw http.ResponseWriter, r *http.Request) error {
		signed, err := w.sign(r, r.PostFormValue("channel_name"))
		return answer(rw, signed, err)
	})
	w.handle(mux, "POST /pusher/auth/batch", w.batch)
	w.handle(mux, "POST /pusher/user-auth", func(rw http.ResponseWriter, r *http.Request) error {
		user, err := w.admit(r, "")
		if w.failsSignin() {
			return status(http.StatusServiceUnavailable)
		}
		if err != nil {
			return err
		}
		signed, err := w.publish.AuthorizeUser(r.PostFormValue("socket_id"), map[string]any{"id": user})
		return answer(rw, signed, err)
	})
	w.handle(mux, "GET /rooms/{room}/events", func(rw http.ResponseWriter, r *http.Request) error {
		if _, err := w.admit(r, r.PathValue("room")); err != nil {
			return err
		}
		return w.answerPage(rw, r, r.PathValue("room"))
	})
	w.handle(mux, "GET /me/events", func(rw http.ResponseWriter, r *http.Request) error {
		user, err := w.admit(r, "")
		if err != nil {
			return err
		}
		return w.answerPage(rw, r, "@"+user)
	})
	w.handle(mux, "POST /events", w.many)
	w.handle(mux, "GET /me/rooms", w.inbox)
	w.handle(mux, "POST /rooms/{room}/read", w.read)
}

// inbox lists the rooms that the user has read, as functions/inbox does.
func (w *world) inbox(rw http.ResponseWriter, r *http.Request) error {
	user, err := w.admit(r, "")
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	list := []map[string]any{}
	for room, seq := range w.reads[user] {
		list = append(list, map[string]any{"room": room, "epoch": "e1", "head": 9, "read": seq, "unread": 9 - seq})
	}
	body, err := json.Marshal(map[string]any{"rooms": list})
	return answer(rw, body, err)
}

func (w *world) read(rw http.ResponseWriter, r *http.Request) error {
	user, err := w.admit(r, r.PathValue("room"))
	if err != nil {
		return err
	}
	var asked struct{ Seq int64 }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reads == nil {
		w.reads = map[string]map[string]int64{}
	}
	if w.reads[user] == nil {
		w.reads[user] = map[string]int64{}
	}
	w.reads[user][r.PathValue("room")] = asked.Seq
	rw.WriteHeader(http.StatusNoContent)
	return nil
}

// supabase stands for Supabase Auth and Realtime, as far as supabase-js asks.
func (w *world) supabase(mux *http.ServeMux) {
	mux.Handle("GET "+realtimetest.Path, w.realtime)
	w.handle(mux, "GET /auth/v1/user", func(rw http.ResponseWriter, r *http.Request) error {
		user, err := w.user(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err != nil {
			return status(http.StatusUnauthorized)
		}
		return answer(rw, fmt.Appendf(nil, `{"id":%q,"aud":"authenticated"}`, user), nil)
	})
	w.handle(mux, "POST /auth/v1/token", func(rw http.ResponseWriter, r *http.Request) error {
		var in struct {
			User string `json:"refresh_token"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return status(http.StatusBadRequest)
		}
		return answer(rw, w.session(in.User), nil)
	})
}

// session is what a sign-in or a refresh gives. The refresh token is the user's id.
func (w *world) session(user string) []byte {
	return fmt.Appendf(nil, `{"access_token":%q,"refresh_token":%q,"expires_in":3600,"expires_at":%d,"token_type":"bearer","user":{"id":%q,"aud":"authenticated"}}`,
		w.token(user), user, time.Now().Unix()+3600, user)
}

// isMoody answers in place of the function, if it is to do so for this user.
func (w *world) isMoody(rw http.ResponseWriter, r *http.Request, pattern string) bool {
	if strings.Contains(pattern, "/world/") || strings.Contains(pattern, "/auth/v1/") {
		return false
	}
	user, _ := w.user(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	w.mu.Lock()
	mood := w.moods[user]
	w.mu.Unlock()
	switch mood {
	case "refuse":
		http.Error(rw, "token", http.StatusUnauthorized)
	case "down":
		http.Error(rw, "away", http.StatusServiceUnavailable)
	case "rubbish":
		_, _ = io.WriteString(rw, "{}")
	default:
		return false
	}
	return true
}

// status is an answer without a body worth reading.
type status int

func (s status) Error() string { return http.StatusText(int(s)) }

func answer(rw http.ResponseWriter, body []byte, err error) error {
	if err != nil {
		return err
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(body)
	return nil
}

// handle counts the requests of a route, and lets pages of any origin ask.
func (w *world) handle(mux *http.ServeMux, pattern string, h func(http.ResponseWriter, *http.Request) error) {
	mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.counts[pattern]++
		w.mu.Unlock()
		rw.Header().Set("Cache-Control", "no-store")
		if w.isMoody(rw, r, pattern) {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has disconnected
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := h(rw, r); err != nil {
			var code status
			if !errors.As(err, &code) {
				w.t.Error(pattern, err)
				code = http.StatusInternalServerError
			}
			http.Error(rw, err.Error(), int(code))
		}
	})
}
