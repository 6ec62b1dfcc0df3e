package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
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
	roomcastURL, metricsURL      string
	databaseURL                  string // owner of the chat's tables
	relayURL                     string // what our own function uses: the relay's role, if we could make one
	demoURL                      string // also SUPABASE_URL: the demo server publishes the key set
	member, otherMember, visitor string // tokens
	app                          *app
	jwtSecret, webhookSecret     string
	paritySecret                 string
}

// mint signs the three tokens. HS256 tokens carry no kid, as in legacy projects.
func (e *environment) mint() error {
	signer := tokentest.HS256(e.jwtSecret)
	for _, t := range []struct {
		token    *string
		id, name string
	}{
		{&e.member, memberID, "Mira"},
		{&e.otherMember, otherMemberID, "Jonas"},
		{&e.visitor, strangerID, "Kai"},
	} {
		claims := tokentest.Claims(e.demoURL, t.id, time.Now())
		claims["exp"] = time.Now().Add(24 * time.Hour).Unix() // a demo outlasts Supabase's hour
		claims["user_metadata"] = map[string]any{"name": t.name}
		signed, err := signer.Sign(claims)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		*t.token = signed
	}
	return nil
}

// function is what the function is configured with, but for the database and
// the ports, which each relay has its own of.
func (e *environment) function() []string {
	return []string{
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
}

// ours is the environment of the function that the stack runs. Of the caller's
// own environment it takes what tunes the function without redirecting it.
func (e *environment) ours() []string {
	env := append(e.function(), "DATABASE_URL="+e.relayURL)
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "IDLE_EXIT", "LOG_LEVEL", "ROOM_CHANNELS", "PACKED_ROOMS", "PUSHER_ENCRYPTION_KEY"} {
		if value, found := os.LookupEnv(name); found {
			env = append(env, name+"="+value)
		} else if name == "LOG_LEVEL" {
			env = append(env, "LOG_LEVEL=warn")
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
		"DEMO_ROOM=" + demoRoom,
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
