package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
	"roomcast/shared/web"
)

//go:embed page
var pageFiles embed.FS

// pusherJS is where Pusher serves the version of pusher-js that package.json pins.
const pusherJS = "https://js.pusher.com/8.6.0/pusher.min.js"

// demo serves the page, the chat's own small API, and what a Supabase project
// serves besides: the key set.
func (s *stack) demo(ctx context.Context, root string, env *environment, l net.Listener) error {
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
	mux.Handle("GET /pusher.js", s.pusherLibrary(ctx, root))
	mux.Handle("GET /config.json", serveConfig(env))
	mux.Handle("GET /", http.FileServerFS(files))
	log := slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	(&chat{pool, verifier}).routes(mux, log)
	s.serve("demo", &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}, l)
	return nil
}

// serveConfig tells the page where everything is. It hands out both members'
// tokens: this server is for one machine and one person.
func serveConfig(env *environment) http.HandlerFunc {
	config := map[string]any{
		"roomcast": env.roomcastURL,
		"room":     demoRoom,
		"pusher":   map[string]any{"key": env.app.key, "host": env.app.host, "tls": env.app.tls},
		"members":  []string{env.member, env.otherMember},
		"stranger": env.visitor,
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(config) // the browser went away
	}
}

// pusherLibrary serves the real pusher-js: from npm if it is there or can be
// had, else by pointing the browser at Pusher's own CDN.
func (s *stack) pusherLibrary(ctx context.Context, root string) http.Handler {
	browser := filepath.Join(root, "shared", "browser")
	file := filepath.Join(browser, "node_modules", "pusher-js", "dist", "web", "pusher.min.js")
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if err := s.step("npm ci", func() error { return npmCI(ctx, browser) }); err != nil {
			s.say("%v; the page takes pusher-js from %s", err, pusherJS)
			return http.RedirectHandler(pusherJS, http.StatusFound)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
}

func npmCI(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	return cmd.Run()
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
