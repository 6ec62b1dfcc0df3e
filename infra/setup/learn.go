package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"roomcast/shared/browser"
	"roomcast/shared/outbox"
)

// wanted is everything that setup was told.
type wanted struct {
	ownerURL, functionURL string
	secrets               map[string]string // for the secrets file, by name
	newLogin              bool              // DATABASE_URL has a password that the database has yet to learn
	messages, members     choice            // empty name: leave as it is
	hasMembers            bool              // a table of members is attached already
	plan                  []statement       // of what is to be attached
}

// errStopped: Ctrl-C, while questions were asked.
var errStopped = errors.New("stopped; nothing was changed")

// webhookPath is the route that the database calls; see functions/routes.go.
const webhookPath = "/webhooks/supabase"

// learn asks for everything, and reads from the database what to offer. It
// changes nothing. The database, if it was reached, is the caller's to close.
func learn(ctx context.Context, a *asker) (wanted, *database, error) {
	want := wanted{secrets: map[string]string{}}
	var err error
	if want.ownerURL, err = a.ask(ctx, question{name: "OWNER_DATABASE_URL", hint: "of the owner of the chat's tables: postgres://postgres:…", secret: true, check: isDatabase(a.known["DATABASE_CA"])}); err != nil {
		return want, nil, err
	}
	var db *database
	if want.ownerURL != "" {
		if db, err = open(ctx, want.ownerURL, a.known["DATABASE_CA"]); err != nil {
			return want, nil, err
		}
	}
	err = errors.Join(askSettings(ctx, a, db, &want), askTables(ctx, a, db, &want), askLogin(ctx, a, db, &want))
	if ctx.Err() != nil {
		err = errStopped
	} else if err == nil {
		err = a.complete()
	}
	if err == nil {
		want.plan = plan(want, db.tables(), db.attachments)
		err = a.agree(ctx, want.plan)
	}
	return want, db, err
}

func askSettings(ctx context.Context, a *asker, db *database, want *wanted) error {
	var err error
	want.functionURL, err = a.ask(ctx, question{name: "ROOMCAST_URL", hint: "where the function will answer: https://<app>.fly.dev", offer: db.functionURL(), check: isAddress})
	if err != nil {
		return err
	}
	want.functionURL = strings.TrimSuffix(strings.TrimRight(want.functionURL, "/"), webhookPath)
	questions := []question{
		{name: "SUPABASE_URL", hint: "https://<ref>.supabase.co", check: isAddress, optional: a.known["SUPABASE_JWT_SECRET"] != ""},
		{name: "PUSHER_APP_ID", hint: "Pusher's dashboard, App Keys"},
		{name: "PUSHER_KEY"},
		{name: "PUSHER_SECRET", secret: true},
		{name: "PUSHER_CLUSTER", hint: "such as eu", optional: a.known["PUSHER_HOST"] != ""},
		{name: "WEBHOOK_SECRET", secret: true, offer: newSecret(), called: "a new one", check: isSecret},
		{name: "PARITY_SECRET", hint: "opens the parity report, GET /parity", secret: true, offer: newSecret(), called: "a new one", check: isSecret},
		{name: "CLIENT_MODE", hint: "how the pages run: supabase, both, pusher; both is the dual run", offer: firstMode, check: isMode},
		{name: "ALLOWED_ORIGINS", hint: "origins of the chat's pages, by commas", optional: true},
	}
	var faults []error
	for _, q := range questions {
		value, err := a.ask(ctx, q)
		faults = append(faults, err)
		want.keep(q.name, value)
	}
	for _, name := range unasked() {
		want.keep(name, a.known[name])
	}
	return errors.Join(faults...)
}

// newSecret has 256 bits, as 64 characters.
func newSecret() string {
	made := make([]byte, 32)
	_, _ = rand.Read(made) // never fails (crypto/rand)
	return hex.EncodeToString(made)
}

// firstMode is how a chat begins its move: pages listen to Supabase alone until somebody
// says otherwise, so that the deploy changes nothing for users.
const firstMode = "supabase"

func isMode(value string) error {
	if _, err := browser.ParsePlan(value); err != nil {
		return fmt.Errorf("cannot be used: %w", err)
	}
	return nil
}

// unasked are settings that few need: written if they are known.
func unasked() []string {
	return []string{"DATABASE_CA", "PUSHER_HOST", "PUSHER_TLS", "PUSHER_ENCRYPTION_KEY", "SUPABASE_JWT_SECRET", "SUPABASE_KEY", "ROOM_CHANNELS", "PACKED_ROOMS", "INBOX", "CANARY"}
}

func (w *wanted) keep(name, value string) {
	if value != "" {
		w.secrets[name] = value
	}
}

// fresh is the answer that asks for a new password.
const fresh = "new"

// askLogin asks how the function logs in. A password that is in use and not known
// here is replaced only if somebody says so.
func askLogin(ctx context.Context, a *asker, db *database, want *wanted) error {
	q := question{name: "DATABASE_URL", hint: "the function's own; \"" + fresh + "\": role roomcast_relay with a new password", secret: true,
		check: func(v string) error {
			if v == fresh {
				return nil
			}
			return isDatabase(a.known["DATABASE_CA"])(v)
		}}
	if db == nil || !db.relayCanLogin {
		q.offer = fresh
	}
	value, err := a.ask(ctx, q)
	if err == nil && value == fresh && want.ownerURL != "" {
		want.newLogin = true
		value, err = relayURL(want.ownerURL, newPassword(), a.known["DATABASE_CA"] != "")
	}
	want.keep("DATABASE_URL", value)
	return err
}

func isDatabase(ca string) func(string) error {
	return func(value string) error {
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.User == nil {
			return errors.New("must look like postgres://user:password@host:5432/postgres")
		}
		if _, err := outbox.ParseURL(value, ca); err != nil {
			return fmt.Errorf("cannot be used: %w", err)
		}
		return nil
	}
}

func isAddress(value string) error {
	if u, err := url.Parse(value); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("must be an address such as https://my-chat.fly.dev")
	}
	return nil
}

// minSecret is the shortest secret that the function takes; see functions/config.go.
const minSecret = 32

// isSecret: what the function and roomcast.configure take.
func isSecret(value string) error {
	for one := range strings.SplitSeq(value, ",") {
		if one = strings.TrimSpace(one); len(one) < minSecret || strings.ContainsFunc(one, func(r rune) bool { return r < '!' || r > '~' }) {
			return fmt.Errorf("must have at least %d characters, ASCII, without spaces", minSecret)
		}
	}
	return nil
}
