package authorize_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"roomcast/functions/authorize"
)

// postgrest answers like a project's PostgREST with one membership row, visible
// to its owner, and remembers the last request.
type postgrest struct {
	*httptest.Server
	last *http.Request
	// status and body, if set, are answered instead.
	status   int
	body     string
	location string // of a redirect
	// onlyPath, if set, is where; elsewhere there is no row.
	onlyPath string
}

func newPostgREST(t *testing.T) *postgrest {
	p := &postgrest{}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *postgrest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.last = r
	q := r.URL.Query()
	switch {
	case p.onlyPath != "" && r.URL.Path != p.onlyPath:
		fmt.Fprint(w, `[]`)
	case p.status != 0:
		w.Header().Set("Location", cmp.Or(p.location, "/rest/v1/elsewhere"))
		w.WriteHeader(p.status)
		fmt.Fprint(w, p.body)
	case r.URL.Path == "/rest/v1/room_participants" && q.Get("room_id") == "eq."+room && q.Get("user_id") == "eq."+user:
		fmt.Fprintf(w, `[{"room_id":%q}]`, room)
	default:
		fmt.Fprint(w, `[]`)
	}
}

// desk is a Handler that asks p as the function does, by way of a coalescer.
func (p *postgrest) desk(t *testing.T, edits ...func(*authorize.RESTConfig)) *desk {
	t.Helper()
	cfg := authorize.RESTConfig{SupabaseURL: p.URL + "/", Key: "sb_publishable_x", HTTPClient: p.Client()}
	for _, edit := range edits {
		edit(&cfg)
	}
	access, err := authorize.NewREST(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return newDesk(t, func(c *authorize.Config) {
		c.Access = authorize.NewCoalescer(authorize.CoalescerConfig{Access: access})
	})
}

func TestRESTAsksInTheUsersName(t *testing.T) {
	p := newPostgREST(t)
	d := p.desk(t)
	compact := bearer(t)
	if w := post(d.channel, compact, formOf(socket, "private-room-"+room)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := p.last.Header.Get("Authorization"); got != "Bearer "+compact {
		t.Error("asked without the user's token")
	}
	if got := p.last.Header.Get("Apikey"); got != "sb_publishable_x" {
		t.Errorf("apikey %q", got)
	}
	if q := p.last.URL.Query(); p.last.Method != http.MethodGet || q.Get("select") != "room_id" || q.Get("limit") != "1" || len(q) != 4 {
		t.Errorf("%s %s", p.last.Method, p.last.URL)
	}
	d.signer.signed = nil
	d.refused(t, d.channel, compact, formOf(socket, "private-room-other"), 403, authorize.ResultForbidden)
	// What would be syntax elsewhere is one value here.
	d.refused(t, d.channel, compact, formOf(socket, "private-room-x=26user_id=3Dneq.0"), 403, authorize.ResultForbidden)
	if got := p.last.URL.Query().Get("room_id"); got != "eq.x&user_id=neq.0" {
		t.Errorf("room_id %q", got)
	}
}

func TestRESTAnswers(t *testing.T) {
	row := `[{"room_id":"` + room + `"}]`
	tests := []struct {
		name   string
		status int
		body   string
		want   int
	}{
		{"a row", 200, row, 200},
		{"no row", 200, `[]`, 403},
		{"rows of another room: the query was dropped", 200, `[{"room_id":"x"},{"room_id":null},{"id":1}]`, 403},
		{"the room is no uuid", 400, `{"code":"22P02","message":"invalid input syntax for type uuid: \"x\""}`, 403},
		{"the room is no bigint", 400, `{"code":"22003"}`, 403},
		{"no such column", 400, `{"code":"42703"}`, 503},
		{"no such table", 404, `{"code":"PGRST205"}`, 503},
		{"no right to the table", 403, `{"code":"42501"}`, 503},
		{"key refused", 401, `{"message":"Invalid API key"}`, 503},
		{"rate limit", 429, ``, 503},
		{"gateway", 502, row, 503},
		{"redirect", 302, row, 503},
		{"a page", 200, `<!doctype html>`, 503},
		{"an object", 200, `{"room_id":"` + room + `"}`, 503},
		{"null", 200, `null`, 403},
		{"cut", 200, row[:20], 503},
		{"endless", 200, "[" + strings.Repeat(" ", 16<<10) + row[1:], 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPostgREST(t)
			p.status, p.body = tt.status, tt.body
			if w := post(p.desk(t).channel, bearer(t), formOf(socket, "private-room-"+room)); w.Code != tt.want {
				t.Errorf("status %d, want %d: %s", w.Code, tt.want, w.Body)
			}
		})
	}
	t.Run("redirect to another", func(t *testing.T) {
		other, p := newPostgREST(t), newPostgREST(t)
		p.status, p.location = http.StatusTemporaryRedirect, other.URL+"/rest/v1/room_participants?room_id=eq."+room+"&user_id=eq."+user
		d := p.desk(t)
		d.refused(t, d.channel, bearer(t), formOf(socket, "private-room-"+room), 503, authorize.ResultUnavailable)
		if other.last != nil {
			t.Errorf("another was asked, with %v", other.last.Header)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		p := newPostgREST(t)
		p.Close()
		d := p.desk(t)
		d.refused(t, d.channel, bearer(t), formOf(socket, "private-room-"+room), 503, authorize.ResultUnavailable)
	})
	t.Run("numbers and other names", func(t *testing.T) {
		p := newPostgREST(t)
		p.status, p.body, p.onlyPath = 200, `[{"chat":9007199254740993}]`, "/rest/v1/seats"
		d := p.desk(t, func(c *authorize.RESTConfig) {
			c.Tables, c.RoomColumn, c.UserColumn = []string{"gone", "chats.seats"}, "chat", "member"
		})
		if w := post(d.channel, bearer(t), formOf(socket, "private-room-9007199254740993")); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if q := p.last.URL.Query(); p.last.URL.Path != "/rest/v1/seats" || p.last.Header.Get("Accept-Profile") != "chats" || q.Get("chat") != "eq.9007199254740993" || q.Get("member") != "eq."+user {
			t.Errorf("asked %s", p.last.URL)
		}
		d.signer.signed = nil
		d.refused(t, d.channel, bearer(t), formOf(socket, "private-room-9007199254740992"), 403, authorize.ResultForbidden)
	})
}

func TestNewRESTNamesEveryFault(t *testing.T) {
	_, err := authorize.NewREST(authorize.RESTConfig{
		SupabaseURL: "ref.supabase.co", Tables: []string{"a/b"}, RoomColumn: "a&b", UserColumn: "a b",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"table", "room column", "user column", "Supabase URL", "key"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention the %s", err, want)
		}
	}
	_, err = authorize.NewREST(authorize.RESTConfig{SupabaseURL: project, Key: "sb_secret_abc"})
	if err == nil || strings.Contains(err.Error(), "abc") {
		t.Errorf("secret key: %v", err)
	}
}
