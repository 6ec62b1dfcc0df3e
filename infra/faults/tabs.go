package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"

	"roomcast/shared/browser/chromiumtest"
)

//go:embed tab.html
var tabHTML []byte

// serveTab answers with what a tab loads: the real pusher-js, and the client as built.
func serveTab(browser string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tab/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(tabHTML)
	})
	mux.HandleFunc("GET /tab/page.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write([]byte(pageScript))
	})
	mux.HandleFunc("GET /tab/pusher.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(browser, "node_modules", "pusher-js", "dist", "web", "pusher.js"))
	})
	mux.Handle("GET /tab/", http.StripPrefix("/tab/", http.FileServer(http.Dir(browser)))) // roomcast.js and its parts
	return mux
}

// tabs are pages in windows of a headless Chromium, each in front.
type tabs struct {
	pages []context.Context
	end   func() error
}

func openTabs(ctx context.Context, address string, configs []pageConfig, s *screens) (_ *tabs, err error) {
	temp, err := os.MkdirTemp("", "faults-")
	if err != nil {
		return nil, err
	}
	root, stop, err := chromiumtest.Launch(context.WithoutCancel(ctx), temp, 1000, 700)
	t := &tabs{end: func() error { return errors.Join(stop(), os.RemoveAll(temp)) }}
	if err != nil {
		return nil, errors.Join(err, t.end())
	}
	for _, config := range configs {
		page, err := openTab(root, address, config, s)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("tab %d: %w", config.Page, err), t.end())
		}
		t.pages = append(t.pages, page)
	}
	return t, nil
}

// openTab opens a page and has it listen.
func openTab(root context.Context, address string, config pageConfig, s *screens) (context.Context, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	page, err := chromiumtest.Open(root, address+"/tab/",
		func(said string, at time.Time) { s.heard([]byte(said), at) },
		func(thrown error) { s.broke(fmt.Errorf("page %d: %w", config.Page, thrown)) })
	if err != nil {
		return nil, err
	}
	return page, chromedp.Do(page, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`begin(%s)`, text)))
}

func (t *tabs) expect(ctx context.Context, page int, id string) error {
	limited, cancel := context.WithTimeout(t.pages[page], 10*time.Second)
	defer cancel()
	return errors.Join(ctx.Err(), chromedp.Do(limited, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`opened.expect(%q)`, id))))
}

func (t *tabs) close() error { return t.end() }
