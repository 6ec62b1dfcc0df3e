package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/token/tokentest"
)

// tokenLife is what a token of the page's clients lives: it expires every few cuts. The
// naive handlers' live on, so that what they lose is the network's doing alone.
const tokenLife = 12 * time.Second

// cuts is a stack with a Pusher that can be stopped, a room with members, and one
// origin for the page: all it needs is behind it, over a wire that can be cut.
type cuts struct {
	t           *testing.T
	env         map[string]string
	pusher      *pushertest.Server
	world, push *wire
	room        string
	members     map[string]string // their ids, by the page's names
	random      *mathrand.Rand
}

func newCuts(t *testing.T) *cuts {
	server := pushertest.Start(t, pushertest.Options{Record: -1})
	app := server.Config()
	c := &cuts{t: t, random: seedOf(t), pusher: server, members: map[string]string{},
		env: startStack(t, "-pusher", fmt.Sprintf("http://%s:%s@%s/apps/%s", app.Key, app.Secret, app.Host, app.AppID))}
	conn := connect(t, c.env)
	if err := conn.QueryRow(t.Context(), `insert into chat_rooms (name) values ('Twenty cuts') returning id::text`).Scan(&c.room); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pusher", "both", "supabase", "switching", "naive-pusher", "naive-supabase"} {
		c.members[name] = newUUID()
		if _, err := conn.Exec(t.Context(), `insert into room_participants (room_id, user_id) values ($1, $2)`, c.room, c.members[name]); err != nil {
			t.Fatal(err)
		}
	}
	front := httptest.NewServer(c.front())
	t.Cleanup(front.Close)
	c.world, c.push = newWire(t, strings.TrimPrefix(front.URL, "http://")), newWire(t, app.Host)
	return c
}

// front is the page's origin: its own files, Supabase Auth as far as sessions go, and
// on the other side Realtime and the function.
func (c *cuts) front() http.Handler {
	mux := http.NewServeMux()
	modules := "../../shared/browser/node_modules/"
	for path, file := range map[string]string{
		"/page": "testdata/cuts/page.html", "/page.js": "testdata/cuts/page.js",
		"/lib/pusher.js":   modules + "pusher-js/dist/web/pusher.min.js",
		"/lib/supabase.js": modules + "@supabase/supabase-js/dist/umd/supabase.js",
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	}
	mux.HandleFunc("POST /session", func(w http.ResponseWriter, r *http.Request) {
		c.session(w, c.members[r.FormValue("name")])
	})
	mux.HandleFunc("POST /auth/v1/token", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			User string `json:"refresh_token"`
		}
		if json.NewDecoder(r.Body).Decode(&in) == nil { // else it was cut off
			c.session(w, in.User)
		}
	})
	mux.HandleFunc("GET /auth/v1/user", func(w http.ResponseWriter, r *http.Request) {
		user, _ := bearerOf(r)
		fmt.Fprintf(w, `{"id":%q,"aud":"authenticated"}`, user)
	})
	mux.Handle("GET /realtime/", c.to("SUPABASE_URL"))
	mux.Handle("/", c.to("ROOMCAST_URL"))
	return mux
}

// session answers a sign-in or a refresh. The refresh token is the user's id.
func (c *cuts) session(w http.ResponseWriter, user string) {
	life := tokenLife
	if user == c.members["naive-pusher"] || user == c.members["naive-supabase"] {
		life = time.Hour
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":%q,"refresh_token":%q,"expires_in":3600,"token_type":"bearer","user":{"id":%q,"aud":"authenticated"}}`,
		c.token(user, time.Now().Add(life)), user, user)
}

func (c *cuts) token(user string, expires time.Time) string {
	claims := tokentest.Claims(c.env["SUPABASE_URL"], user, time.Now())
	claims["exp"] = expires.Unix()
	compact, err := tokentest.HS256(c.env["SUPABASE_JWT_SECRET"]).Sign(claims)
	if err != nil {
		c.t.Error(err)
	}
	return compact
}

// to forwards to a component of the stack. The function forgives a token half a minute, which
// this run has not got: one that has expired arrives there as one of an hour ago.
func (c *cuts) to(part string) http.Handler {
	target, err := url.Parse(c.env[part])
	if err != nil {
		c.t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Origin") // the page's own origin is none that the stack knows
			if user, expires := bearerOf(r.In); user != "" && time.Now().After(expires) {
				r.Out.Header.Set("Authorization", "Bearer "+c.token(user, time.Now().Add(-time.Hour)))
			}
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }, // it was cut
		ErrorLog:     log.New(io.Discard, "", 0),
	}
}

// bearerOf reads a token of ours, without a look at its signature.
func bearerOf(r *http.Request) (user string, expires time.Time) {
	parts := strings.Split(r.Header.Get("Authorization"), ".")
	if len(parts) != 3 {
		return "", time.Time{}
	}
	var claims struct {
		Sub string
		Exp int64
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return "", time.Time{}
	}
	return claims.Sub, time.Unix(claims.Exp, 0)
}

// chatter writes messages, 20 a second, until it is stopped; it returns how many.
func (c *cuts) chatter(conn *pgx.Conn, stop chan struct{}) (n int) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return n
		case <-tick.C:
			n++
			if _, err := conn.Exec(context.Background(), `insert into messages (room_id, user_id, content) values ($1, $2, $3)`,
				c.room, c.members["both"], fmt.Sprint(n)); err != nil {
				c.t.Error(err)
			}
		}
	}
}

// visitor joins the room, or leaves it. Supabase brings no such event, and has lost none.
func (c *cuts) visitor(joins bool) {
	sql := `insert into room_participants (room_id, user_id) values ($1, $2)`
	if !joins {
		sql = `delete from room_participants where room_id = $1 and user_id = $2`
	}
	if err := execute(c.t.Context(), c.env["DATABASE_URL"], sql, c.room, strangerID); err != nil {
		c.t.Error(err)
	}
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
