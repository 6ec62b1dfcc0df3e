package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"roomcast/shared/token/tokentest"
)

// The people and rooms that chat.sql creates.
const (
	memberID      = "a11ce000-0000-4000-8000-000000000001"
	otherMemberID = "b0b00000-0000-4000-8000-000000000002"
	strangerID    = "c0ffee00-0000-4000-8000-000000000003"
	demoRoom      = "5ea51de0-0000-4000-8000-000000000010"
)

// environment is what the stack reports: all that a second relay, a browser or
// a test needs to take part.
type environment struct {
	caller
	roomcastURL, metricsURL string
	databaseURL             string // owner of the chat's tables
	relayURL                string // what our own function uses: the relay's role, if we could make one
	demoURL                 string // also SUPABASE_URL: the demo server publishes the key set

	room                         string // where the members are; empty in a database without any
	member, otherMember, visitor string // tokens

	app                                    *app
	jwtSecret, webhookSecret, paritySecret string
}

// person is somebody who is given a token.
type person struct{ id, name string }

// demoPeople are two members of the demo's room, and a stranger to it.
func demoPeople() [3]person {
	return [3]person{{memberID, "Mira"}, {otherMemberID, "Jonas"}, {strangerID, "Kai"}}
}

// admit names the room and signs a token for two of its members and a stranger, as
// far as there are such.
func (e *environment) admit(room string, people [3]person) (err error) {
	e.room = room
	for i, token := range []*string{&e.member, &e.otherMember, &e.visitor} {
		if people[i].id == "" {
			continue
		}
		if *token, err = e.sign(people[i]); err != nil {
			return err
		}
	}
	return nil
}

// sign returns a user's token. HS256 tokens carry no kid, as in legacy projects.
func (e *environment) sign(p person) (string, error) {
	claims := tokentest.Claims(e.demoURL, p.id, time.Now())
	claims["exp"] = time.Now().Add(24 * time.Hour).Unix() // a demo outlasts Supabase's hour
	if p.name != "" {
		claims["user_metadata"] = map[string]any{"name": p.name}
	}
	signed, err := tokentest.HS256(e.jwtSecret).Sign(claims)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return signed, nil
}

// tuning is what the function takes from the caller's own environment: what changes
// how it works, not where.
func tuning() []string {
	return []string{
		"IDLE_EXIT", "LINGER", "CLAIM_LEASE", "LOG_LEVEL", "ROOM_CHANNELS", "PACKED_ROOMS", "PUSHER_ENCRYPTION_KEY",
		"CLIENT_MODE", "CLIENT_RATE", "INBOX", "CANARY", "PRESENCE_EVENTS", "ALLOW_ANONYMOUS",
	}
}

// function is what the function is configured with, but for the database and
// the ports, which each relay has its own of.
func (e *environment) function() []string {
	env := []string{
		"PUSHER_HOST=" + e.app.host,
		"PUSHER_TLS=" + strconv.FormatBool(e.app.tls),
		"PUSHER_APP_ID=" + e.app.id,
		"PUSHER_KEY=" + e.app.key,
		"PUSHER_SECRET=" + e.app.secret,
		"SUPABASE_URL=" + e.demoURL,
		"SUPABASE_JWT_SECRET=" + e.jwtSecret,
		"WEBHOOK_SECRET=" + e.webhookSecret,
		"PARITY_SECRET=" + e.paritySecret,
		"ALLOWED_ORIGINS=" + e.demoURL,
		"LISTEN_HOST=127.0.0.1",
	}
	for _, name := range tuning() {
		if value, found := e.lookup(name); found {
			env = append(env, name+"="+value)
		} else if name == "LOG_LEVEL" {
			env = append(env, "LOG_LEVEL=warn")
		} else if name == "ROOM_CHANNELS" {
			env = append(env, "ROOM_CHANNELS=private,presence") // the page shows who is online
		}
	}
	return env
}

// ours is the environment of the function that the stack runs.
func (e *environment) ours() []string {
	env := append(e.function(), "DATABASE_URL="+e.relayURL, "TRUSTED_PROXIES=1") // ours is newProxy
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "SYSTEMROOT"} {
		if value, found := os.LookupEnv(name); found {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// print writes the KEY=value lines and "ready".
func (e *environment) print(w io.Writer) error {
	lines := append([]string{
		"ROOMCAST_URL=" + e.roomcastURL,
		"METRICS_URL=" + e.metricsURL,
		"DATABASE_URL=" + e.databaseURL,
		"DEMO_URL=" + e.demoURL,
		"DEMO_ROOM=" + e.room,
		"MEMBER_JWT=" + e.member,
		"OTHER_MEMBER_JWT=" + e.otherMember,
		"STRANGER_JWT=" + e.visitor,
	}, e.function()...)
	for _, line := range append(lines, "ready") {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// wake calls the function's webhook, as pg_net does.
func (e *environment) wake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	body := strings.NewReader(`{"type":"WAKEUP","schema":"roomcast","table":"outbox","record":null,"old_record":null}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.roomcastURL+"/webhooks/supabase", body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+e.webhookSecret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
