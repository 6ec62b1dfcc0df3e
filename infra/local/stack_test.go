package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
)

// TestStack starts the whole stack once and looks at it from every side.
func TestStack(t *testing.T) {
	t.Parallel()
	env := startStack(t)
	t.Run("prints what a second relay needs", func(t *testing.T) { printed(t, env) })
	t.Run("a second relay beside the first", func(t *testing.T) { secondRelay(t, env) })
	t.Run("row level security", func(t *testing.T) { rowLevelSecurity(t, env) })
	t.Run("reactions", func(t *testing.T) { reactions(t, env) })
	t.Run("authorization", func(t *testing.T) { authorization(t, env) })
	t.Run("a row appears on both members' panes", func(t *testing.T) { rowAppears(t, env) })
	t.Run("signals, reactions, unread, keys and narrow screens", func(t *testing.T) { livelyPage(t, env) })
	t.Run("the move", func(t *testing.T) { theMove(t, env) })
	t.Run("killed and frozen under load", func(t *testing.T) { brokenUnderLoad(t, env) })
	t.Run("a stranger is refused", func(t *testing.T) { strangerRefused(t, env) })
}

// TestGivenServers starts two stacks, one behind the other, on a database and a Pusher
// server of ours.
func TestGivenServers(t *testing.T) {
	t.Parallel()
	pusher := pushertest.Start(t, pushertest.Options{})
	c := pusher.Config()
	database := outboxtest.Database(t)
	args := []string{"-postgres", database, "-demo", "-pusher", fmt.Sprintf("http://%s:%s@%s/apps/%s", c.Key, c.Secret, c.Host, c.AppID)}
	t.Run("once", func(t *testing.T) { startStack(t, args...) }) // the second finds all in place
	env := startStack(t, args...)
	if env["DATABASE_URL"] != database || env["PUSHER_HOST"] != c.Host {
		t.Errorf("not on what was given: %s %s", env["DATABASE_URL"], env["PUSHER_HOST"])
	}
	// Its WAL is not ours to read: no Realtime, and no modes to choose from.
	if status, body := call(t, "GET", env["DEMO_URL"]+"/config.json", "", ""); status != http.StatusOK || strings.Contains(body, `"supabase"`) {
		t.Errorf("config: %d %s", status, body)
	}
	_, err := connect(t, env).Exec(t.Context(), `insert into public.messages (room_id, user_id, content) values ($1, $2, 'hi')`,
		env["DEMO_ROOM"], memberID)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := pusher.Wait(ctx, func(events []pushertest.Accepted) bool {
		return len(events) > 0 && events[0].Channel == "private-room-"+env["DEMO_ROOM"]
	}); err != nil {
		t.Errorf("events: %v (%v)", pusher.Events(), err)
	}
}

// TestDeadPostgresEndsTheStack crashes the server behind the stack's back.
func TestDeadPostgresEndsTheStack(t *testing.T) {
	t.Parallel()
	s := launch(t)
	defer s.cancel()
	var backend int
	if err := connect(t, s.env).QueryRow(t.Context(), `select pg_backend_pid()`).Scan(&backend); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ps", "-o", "ppid=", "-p", strconv.Itoa(backend)).Output()
	if err != nil {
		t.Fatal(err)
	}
	postmaster, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	if err := kill(postmaster, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "Postgres died") {
		t.Errorf("the stack ended with %v", err)
	}
}

func printed(t *testing.T, env map[string]string) {
	for _, key := range []string{
		"ROOMCAST_URL", "DATABASE_URL", "DEMO_URL", "DEMO_ROOM", "MEMBER_JWT", "OTHER_MEMBER_JWT", "STRANGER_JWT",
		"PUSHER_HOST", "PUSHER_TLS", "PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET",
		"SUPABASE_URL", "SUPABASE_JWT_SECRET", "WEBHOOK_SECRET", "PARITY_SECRET",
	} {
		if env[key] == "" {
			t.Errorf("%s is missing", key)
		}
	}
	for _, path := range []string{env["ROOMCAST_URL"] + "/healthz", env["SUPABASE_URL"] + "/auth/v1/.well-known/jwks.json"} {
		if status, body := call(t, "GET", path, "", ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	var owner bool
	conn := connect(t, env)
	err := conn.QueryRow(t.Context(), `select pg_get_userbyid(relowner) = current_user and not
		(select rolsuper from pg_roles where rolname = current_user) from pg_class where oid = 'public.messages'::regclass`).Scan(&owner)
	if err != nil || !owner {
		t.Errorf("DATABASE_URL is not the messages' plain owner: %v", err)
	}
}

func rowLevelSecurity(t *testing.T, env map[string]string) {
	room := env["DEMO_URL"] + "/api/rooms/" + env["DEMO_ROOM"]
	for _, tc := range []struct {
		method, path, token, body string
		status                    int
		contains                  string
	}{
		{"GET", "", env["MEMBER_JWT"], "", 200, "The ferry is in"},
		{"GET", "", env["STRANGER_JWT"], "", 200, `"messages": []`},
		{"GET", "", "", "", 401, ""},
		{"GET", "", env["MEMBER_JWT"] + "x", "", 401, ""},
		{"POST", "/messages", env["STRANGER_JWT"], `{"content":"let me in"}`, 403, "not a member"},
		{"POST", "/messages", env["MEMBER_JWT"], `{"content":""}`, 400, "content"},
		{"DELETE", "/messages/00000000-0000-4000-8000-000000000102", env["MEMBER_JWT"], "", 404, ""}, // Jonas wrote it
		{"POST", "/join", env["MEMBER_JWT"], "", 409, "already"},
	} {
		status, body := call(t, tc.method, room+tc.path, tc.token, tc.body)
		body = strings.NewReplacer(`" : `, `": `, `":[`, `": [`).Replace(body)
		if status != tc.status || !strings.Contains(body, tc.contains) {
			t.Errorf("%s %s: %d %s, want %d %s", tc.method, tc.path, status, body, tc.status, tc.contains)
		}
	}
}

func authorization(t *testing.T, env map[string]string) {
	form := url.Values{"socket_id": {"1.1"}, "channel_name": {"private-room-" + env["DEMO_ROOM"]}}.Encode()
	for token, want := range map[string]int{
		env["MEMBER_JWT"]: 200, env["OTHER_MEMBER_JWT"]: 200, env["STRANGER_JWT"]: 403,
	} {
		if status, body := call(t, "POST", env["ROOMCAST_URL"]+"/pusher/auth", token, form); status != want {
			t.Errorf("got %d %s, want %d", status, body, want)
		}
	}
}

// rowAppears inserts with plain SQL, as psql would, and waits for the row on
// the screens of both members.
func rowAppears(t *testing.T, env map[string]string) {
	ctx := browser(t)
	mira, jonas := paneOf(memberID), paneOf(otherMemberID)
	must(t, ctx, chromedp.Navigate(env["DEMO_URL"]), visible(mira+` .send`), visible(jonas+` .send`))

	const content = "A row from psql, <b>plain</b> as it was typed. Déjà vu?"
	var id string
	conn := connect(t, env)
	err := conn.QueryRow(t.Context(), `insert into public.messages (room_id, user_id, content)
		values ($1, $2, $3) returning id::text`, env["DEMO_ROOM"], memberID, content).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	for _, pane := range []string{mira, jonas} {
		bubble := fmt.Sprintf(`%s .message[data-id="%s"]`, pane, id)
		must(t, ctx, visible(bubble+` .seq`))
		if text := get(t, ctx, chromedp.Text(chromedp.CSS(bubble+` p`))); text != content {
			t.Errorf("%s shows %q", pane, text)
		}
	}
	// The other way round: one member types, the other reads.
	must(t, ctx, chromedp.SendKeys(chromedp.CSS(jonas+` input`), "Got it. That was quicker than the ferry.\r"),
		visible(mira+` .message:last-child:not(.own):not(.fresh) .delay`))
	screenshot(t, ctx, "members")
	// An edit and a deletion, again from outside.
	bubble := fmt.Sprintf(`%s .message[data-id="%s"]`, jonas, id)
	for _, change := range []struct{ sql, shown string }{
		{`update public.messages set content = 'Edited' where id = $1`, "Edited"},
		{`delete from public.messages where id = $1`, "deleted"},
	} {
		if _, err := conn.Exec(t.Context(), change.sql, id); err != nil {
			t.Fatal(err)
		}
		get(t, ctx, chromedp.Poll[bool](fmt.Sprintf(`document.querySelector(%q)?.textContent === %q`, bubble+" p", change.shown)))
	}
	// Leaving ends the listening; joining begins it again.
	must(t, ctx, click(jonas+` .who button`), visible(jonas+` .left`), visible(mira+` .note`))
	screenshot(t, ctx, "left")
	must(t, ctx, click(jonas+` .left button`), visible(jonas+` .send`))
}

func strangerRefused(t *testing.T, env map[string]string) {
	ctx := browser(t)
	must(t, ctx, chromedp.Navigate(env["DEMO_URL"]+"/?token="+url.QueryEscape(env["STRANGER_JWT"])),
		visible(paneOf(strangerID)+` .refused`))
	seen := get(t, ctx, chromedp.Evaluate[[]int](`[".pane", ".message"].map((s) => document.querySelectorAll(s).length)`))
	if !slices.Equal(seen, []int{1, 0}) {
		t.Errorf("panes and messages: %v, want one pane and no message", seen)
	}
	screenshot(t, ctx, "stranger")
}

func paneOf(user string) string { return fmt.Sprintf(`.pane[data-user="%s"]`, user) }

func visible(css string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.CSS(css))
}

func click(css string) chromedp.Action[chromedp.Void] { return chromedp.Click(chromedp.CSS(css)) }

// must runs browser actions for at most half a minute each time, and shows the
// page if one of them fails.
func must(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, action := range actions {
		err := chromedp.Do(limited, action)
		for tries := 0; err != nil && tries < 3 && strings.Contains(err.Error(), "Could not find node"); tries++ {
			err = chromedp.Do(limited, action) // the page has drawn it again meanwhile
		}
		if err != nil {
			screenshot(t, ctx, "failure")
			t.Fatal(err)
		}
	}
}

func get[T any](t *testing.T, ctx context.Context, action chromedp.Action[T]) T {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	value, err := chromedp.Run(limited, action)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// screenshot keeps what the browser shows: `go test -artifacts` leaves it for people.
func screenshot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	path := filepath.Join(t.ArtifactDir(), name+".png")
	if err := os.WriteFile(path, get(t, ctx, chromedp.CaptureScreenshot()), 0o644); err != nil {
		t.Errorf("screenshot: %v", err)
	}
	t.Logf("screenshot: %s", path)
}

func connect(t *testing.T, env map[string]string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// call makes a request, with a form or JSON body, and returns status and body.
func call(t *testing.T, method, address, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}
