package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"roomcast/shared/browser/realtimetest"
	"roomcast/shared/token"
)

// publishableKey is what the page gives supabase-js for a key: Realtime takes it
// from a user who has not signed in.
const publishableKey = "sb_publishable_local"

// realtime starts what stands in for Supabase Realtime on our own cluster. It returns
// nil for a database that we were given: its publications and slots are not ours.
func (s *stack) realtime(ctx context.Context, db database, v *token.Verifier, log *slog.Logger) (http.Handler, error) {
	if db.server == nil {
		return nil, nil
	}
	var feed *realtimetest.Feed // asked only once changes flow: Follow has returned by then
	server := realtimetest.New(realtimetest.Options{
		Log:    log,
		Verify: verifyFor(v),
		Visible: func(ctx context.Context, claims json.RawMessage, c realtimetest.Change) bool {
			return feed.Visible(ctx, claims, c)
		},
	})
	feed, err := realtimetest.Follow(ctx, db.admin, server)
	if err != nil {
		return nil, err
	}
	s.add("realtime", func() error {
		server.Refuse(true)
		server.Cut() // its connections are hijacked, so the HTTP server does not end them
		feed.Close()
		return nil
	})
	// As one does on Supabase for a chat that listens to postgres_changes.
	if err := execute(ctx, db.admin, "alter publication "+realtimetest.Publication+" add table public.messages"); err != nil {
		return nil, fmt.Errorf("realtime: %w", err)
	}
	return server, nil
}

// verifyFor lets Realtime take the users' tokens, and the publishable key for nobody's.
func verifyFor(v *token.Verifier) func(context.Context, string) (json.RawMessage, time.Time, error) {
	return func(ctx context.Context, compact string) (json.RawMessage, time.Time, error) {
		if compact == publishableKey {
			return json.RawMessage(`{"role":"anon"}`), time.Time{}, nil
		}
		claims, err := v.Verify(ctx, compact)
		return claims.Raw, claims.Expires, err
	}
}
