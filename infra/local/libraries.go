package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// library is a file of an npm package that the page loads, and where else it is to be
// had, in the version that package.json pins.
type library struct{ route, file, elsewhere string }

func libraries() []library {
	return []library{
		{"GET /pusher.js", "pusher-js/dist/web/pusher.min.js", "https://js.pusher.com/8.6.0/pusher.min.js"},
		{"GET /supabase.js", "@supabase/supabase-js/dist/umd/supabase.js",
			"https://cdn.jsdelivr.net/npm/@supabase/supabase-js@2.119.1/dist/umd/supabase.js"},
	}
}

// libraries serves the real pusher-js and supabase-js: from npm if they are there or
// can be had, else by pointing the browser at their makers' CDNs.
func (s *stack) libraries(ctx context.Context, root string, mux *http.ServeMux) {
	browser := filepath.Join(root, "shared", "browser")
	var fetched bool
	for _, l := range libraries() {
		file := filepath.Join(browser, "node_modules", filepath.FromSlash(l.file))
		if missing(file) && !fetched {
			fetched = true
			if err := s.step("npm ci", func() error { return npmCI(ctx, browser) }); err != nil {
				s.say("%v; the page takes its libraries from their CDNs", err)
			}
		}
		if missing(file) {
			mux.Handle(l.route, http.RedirectHandler(l.elsewhere, http.StatusFound))
			continue
		}
		mux.HandleFunc(l.route, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	}
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, os.ErrNotExist)
}

func npmCI(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	return cmd.Run()
}
