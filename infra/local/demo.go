package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/shared/browser/realtimetest"
	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
	"roomcast/shared/web"
)

//go:embed page
var pageFiles embed.FS

// demo serves the page, the chat's own small API, and what a Supabase project
// serves besides: the key set and Realtime.
func (s *stack) demo(ctx context.Context, root string, db database, env *environment, l net.Listener) error {
	pool, err := pgxpool.New(context.WithoutCancel(ctx), env.databaseURL)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s.add("demo's connections", func() error { pool.Close(); return nil })
	verifier, err := token.New(token.Config{JWTSecret: env.jwtSecret})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	// One signing key beside the legacy secret, as in a project that has begun to migrate.
	signer, err := tokentest.ES256("local-1")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	keys, err := tokentest.NewKeySet(signer)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+tokentest.JWKSPath, keys)
	s.libraries(ctx, root, mux)
	log := slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	realtime, err := s.realtime(ctx, db, verifier, log)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if realtime != nil {
		mux.Handle("GET "+realtimetest.Path, realtime)
	}
	mux.Handle("GET /config.json", serveConfig(env, realtime != nil))
	mux.Handle("GET /parity.json", web.Handle(log, "GET /parity.json", serveParity(env)))
	mux.Handle("GET /", http.FileServerFS(files))
	(&chat{pool, verifier}).routes(mux, log)
	s.serve("demo", &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}, l)
	return nil
}

// serveConfig tells the page where everything is. It hands out both members'
// tokens: this server is for one machine and one person. Without Realtime the page has
// no key for it, and no modes to choose from.
func serveConfig(env *environment, realtime bool) http.HandlerFunc {
	config := map[string]any{
		"roomcast": env.roomcastURL,
		"room":     env.room,
		"pusher":   map[string]any{"key": env.app.key, "host": env.app.host, "tls": env.app.tls},
		"members":  []string{env.member, env.otherMember},
		"stranger": env.visitor,
	}
	if realtime {
		config["supabase"] = map[string]string{"url": env.demoURL, "key": publishableKey}
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(config) // the browser went away
	}
}

// serveParity asks the function for the parity report as its operator. The page must not
// hold PARITY_SECRET, so this server shows it for the page, to this machine alone.
func serveParity(env *environment) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, env.roomcastURL+"/parity?format=json&hours=24&rooms=0", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+env.paritySecret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return web.Unavailable("the function does not answer", 2*time.Second, err)
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // one of the two went away
		return nil
	}
}

// bearer verifies the request's token.
func (c *chat) bearer(r *http.Request) (token.Claims, error) {
	raw, found := web.Bearer(r)
	if !found {
		return token.Claims{}, web.Unauthorized("no bearer token", nil)
	}
	claims, err := c.verifier.Verify(r.Context(), raw)
	if err != nil {
		return token.Claims{}, web.Unauthorized("token refused", err)
	}
	return claims, nil
}
