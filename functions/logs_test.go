package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/token/tokentest"
)

// What must never be in a log. The first is what every message of these tests says.
const (
	content  = "the-lighthouse-burns-at-noon"
	badToken = "eyJhbGciOiJub25lIn0.bm90LWEtdG9rZW4.c2lnbmF0dXJl"
	jwtKey   = "a-jwt-secret-of-at-least-32-bytes!"
	guessed  = "a-guess-at-the-webhook-secret"
)

// signature is what Pusher's 401 repeats of the request.
const signature = "0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd"

// Under every failure the log says what is wrong, in JSON, and never what was
// written, who may read it, or with what secret.
func TestLogsUnderFailure(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault pushertest.Fault
		says  string
	}{
		{"a reset", pushertest.Fault{Reset: true, Times: 2}, "not accepted, will try again"},
		{"500", pushertest.Fault{Status: 500, Times: 2, Body: "oops"}, "not accepted, will try again"},
		{"429", pushertest.Fault{Status: 429, Times: 1, RetryAfter: time.Second}, "pusher does not take events"},
		{"401", pushertest.Fault{Status: 401, Body: "Invalid signature: you should have sent HmacSHA256Hex(\"POST\\n/apps\\nauth_key=x\", your_secret_key), but you sent " + signature}, "pusher refuses our signature"},
		{"403", pushertest.Fault{Status: 403, Body: "over quota"}, "pusher refuses the app"},
		{"413", pushertest.Fault{Status: 413, Body: "too large"}, "parked: pusher will never take this event"},
		{"a redirect", pushertest.Fault{Status: 302, Body: "elsewhere"}, "pusher refuses our signature"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			push, database := newPusher(t), outboxtest.Chat(t)
			f := start(t, environment(push, "DATABASE_URL="+database))
			push.Inject(tc.fault)
			f.message(t, database, content)
			f.wakeUp(t)
			f.until(t, tc.says, func(map[string]*dto.MetricFamily) bool { return strings.Contains(f.logged(), tc.says) })
			f.wantQuiet(t, database, push)
		})
	}
}

// Callers who get it wrong, in every way they can, leave nothing of what they sent.
func TestLogsOfBadCallers(t *testing.T) {
	t.Parallel()
	push, database := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+database))
	f.post(t, "/webhooks/supabase", "application/json", `{"type":"INSERT","record":{"content":"`+content+`"}`, webhookSecret)
	f.post(t, "/webhooks/supabase", "application/json", `{"type":"WAKEUP"}`, guessed)
	for _, token := range []string{badToken, memberToken(t)} {
		f.post(t, "/pusher/auth", "application/x-www-form-urlencoded", "socket_id="+content+"&channel_name=private-room-x", token)
		f.post(t, "/pusher/auth?token="+token, "application/x-www-form-urlencoded", "socket_id=1.1&channel_name=private-room-"+content, token)
		f.post(t, "/pusher/user-auth", "application/json", `{"`+content+`"}`, token)
	}
	// The database that cannot answer is asked with all that the token says.
	if err := outboxtest.Exec(t.Context(), database, `drop function roomcast.can_read(text, uuid, jsonb)`); err != nil {
		t.Fatal(err)
	}
	if status := f.post(t, "/pusher/auth", "application/x-www-form-urlencoded",
		"socket_id=1.1&channel_name=private-room-aaaaaaaa-0000-4000-8000-000000000001", memberToken(t)); status != http.StatusServiceUnavailable {
		t.Errorf("without an answer of the database: %d, want 503", status)
	}
	f.wantQuiet(t, database, push)
}

// A database that fails is named with the call, and without its address and password.
func TestLogsOfADatabaseInTrouble(t *testing.T) {
	t.Parallel()
	push, database := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+database))
	f.message(t, database, content)
	if err := outboxtest.Exec(t.Context(), database, `do $$ begin
		execute format('alter function %s rename to renamed', (select oid::regprocedure from pg_proc where pronamespace = 'roomcast'::regnamespace and proname = 'claim'));
	end $$`); err != nil {
		t.Fatal(err)
	}
	f.wakeUp(t)
	f.until(t, "the database's trouble is logged and counted", func(m map[string]*dto.MetricFamily) bool {
		return strings.Contains(f.logged(), `"call":"claim"`) && value(m, "roomcast_database_errors_total", "call", "claim") > 0
	})
	f.wantQuiet(t, database, push)
}

// A retry is logged with its room, its seq and its attempt.
func TestRetryIsLoggedWithItsPlace(t *testing.T) {
	t.Parallel()
	push, database := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+database))
	push.Inject(pushertest.Fault{Status: 500, Times: 2})
	f.message(t, database, content)
	f.wakeUp(t)
	await(t, push, 1)
	attempts := []float64{}
	for line := range strings.Lines(f.logged()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["msg"] != "not accepted, will try again" {
			continue
		}
		if entry["room"] != "aaaaaaaa-0000-4000-8000-000000000001" || entry["seq"] != 1.0 {
			t.Errorf("a retry without its place: %s", line)
		}
		attempt, _ := entry["attempt"].(float64)
		attempts = append(attempts, attempt)
	}
	if fmt.Sprint(attempts) != "[1 2]" {
		t.Errorf("attempts %v, want 1 and 2", attempts)
	}
}

// wantQuiet checks every line so far.
func (f *function) wantQuiet(t *testing.T, database string, push *pushertest.Server) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	forbidden := map[string]string{
		"content": content, "webhook secret": webhookSecret, "a caller's guess": guessed, "a token": badToken, "a member's token": memberToken(t),
		"JWT secret": jwtKey, "Pusher's secret": push.Config().Secret, "the database's password": password,
		"a signed URL": "auth_signature", "a signature": signature, "a member's address": "@example",
	}
	lines := 0
	for line := range strings.Lines(f.logged()) {
		lines++
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
		for what, text := range forbidden {
			if strings.Contains(line, text) {
				t.Errorf("the log tells %s: %s", what, line)
			}
		}
	}
	if lines < 3 {
		t.Errorf("%d lines only", lines)
	}
}

// memberToken is a good token, the same each time.
func memberToken(t *testing.T) string {
	t.Helper()
	claims := tokentest.Claims("", "11111111-0000-4000-8000-000000000001", time.Unix(1_700_000_000, 0))
	claims["exp"], claims["email"] = 4_000_000_000, "someone@example.com"
	signed, err := tokentest.HS256(jwtKey).Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
