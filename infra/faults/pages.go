package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/backoff"
	"roomcast/shared/browser/chromiumtest"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/token/tokentest"
)

// Client pages while people write, with the real pusher-js and our client, in windows of a
// headless Chromium: of those that write and of those that only look on.
const (
	writerPages   = 2
	onlookerPages = 4
	pagesPace     = 700 * time.Millisecond // between two messages
	writersWithin = 15 * time.Second
	onlookWithin  = 120 * time.Second
)

//go:embed page.js
var pageScript string

// pageConfig is what page.js is told. Every page has a user and an address of its own, so
// that its requests are counted.
type pageConfig struct {
	Page    int    `json:"page"`
	Key     string `json:"key"`
	Sockets string `json:"sockets"`
	Room    string `json:"room"`
	URL     string `json:"url"`
	Token   string `json:"token"`
}

// pages are the browser with all pages, and what they have shown.
type pages struct {
	*screens
	browser interface {
		// expect tells a page that its user has written.
		expect(ctx context.Context, page int, id string) error
		close() error
	}
	room string
	db   *pgx.Conn
}

// openPages opens the pages and waits until each is live.
func (s *scene) openPages(ctx context.Context) (_ *pages, err error) {
	p := &pages{room: s.room(), screens: newScreens(writerPages+onlookerPages, writerPages)}
	if p.db, err = pgx.Connect(ctx, s.ownerURL); err != nil {
		return nil, err
	}
	if _, err := p.db.Exec(ctx, `create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language sql stable set search_path = pg_catalog, pg_temp return true`); err != nil {
		return nil, fmt.Errorf("can_read: %w", err)
	}
	folder, err := browserFolder(ctx)
	if err != nil {
		return nil, err
	}
	configs, err := s.pageConfigs(p.room)
	if err != nil {
		return nil, err
	}
	if _, missing := chromiumtest.Find(); missing != nil && os.Getenv("CI") != "true" {
		fmt.Fprintf(s.stderr, "faults: NOT IN A REAL BROWSER but in Node: %v\n", missing)
		p.browser, err = openNode(folder, configs, p.screens, s.stderr)
	} else {
		tab := serveTab(folder)
		s.front.tab.Store(&tab)
		p.browser, err = openTabs(ctx, s.frontURL, configs, p.screens)
	}
	if err != nil {
		return nil, err
	}
	if err := s.until(ctx, "the pages to be live", func() bool { return p.live() == writerPages+onlookerPages }); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// browserFolder returns the client's folder, with its packages.
func browserFolder(ctx context.Context) (string, error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("module: %w", err)
	}
	folder := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "shared", "browser")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "pusher-js")); err != nil {
		return "", fmt.Errorf("run `npm ci` in shared/browser: %w", err)
	}
	return folder, nil
}

func (s *scene) pageConfigs(room string) (configs []pageConfig, err error) {
	for n := range writerPages + onlookerPages {
		token, err := tokentest.HS256(jwtSecret).Sign(tokentest.Claims("http://127.0.0.1:9", uuid(s.rnd), time.Now()))
		if err != nil {
			return nil, err
		}
		configs = append(configs, pageConfig{n, s.pusher.Config().Key, s.sockets.address(), room, fmt.Sprintf("%s/page-%d", s.frontURL, n), token})
	}
	return configs, nil
}

// write has the writers' users write in turns for so long, a message at a time, as an app
// does: commit, then tell the client to expect it.
func (p *pages) write(ctx context.Context, s *scene, lasts time.Duration) error {
	for n, end := 0, time.Now().Add(lasts); time.Now().Before(end); n++ {
		e := s.ledger.begin(entry{id: uuid(s.rnd), room: p.room, tx: s.ledger.transaction()})
		_, err := p.db.Exec(ctx, insertSQL, e.id, e.room, "from a page")
		s.ledger.end([]*entry{e}, fateOf(err))
		if err != nil {
			return err
		}
		p.committed(e.id, time.Now())
		if err := p.browser.expect(ctx, n%writerPages, e.id); err != nil {
			return err
		}
		backoff.Sleep(ctx, pagesPace/2+time.Duration(s.rnd.Int64N(int64(pagesPace))))
	}
	return ctx.Err()
}

func (p *pages) close() error {
	return errors.Join(p.browser.close(), p.db.Close(context.Background()))
}

// watched runs a fault in front of pages: they show what is written before, during and
// after it. cooling is how long the relay may leave Pusher alone after it.
func (s *scene) watched(ctx context.Context, lasts, cooling time.Duration, begin, end func() error) error {
	if s.short {
		lasts = min(lasts, 12*time.Second)
	}
	s.extra = cooling
	p, err := s.openPages(ctx)
	if err != nil {
		return err
	}
	requests := s.front.requests.Load()
	err = errors.Join(
		p.write(ctx, s, 3*time.Second), begin(), p.write(ctx, s, lasts), end(), p.write(ctx, s, 3*time.Second))
	if err == nil {
		within, cancel := context.WithTimeout(ctx, onlookWithin+onlookWithin/4)
		defer cancel()
		pollUntil(within, func() bool { return p.waiting(time.Now()) == 0 }) // what is not there by then is lost
	}
	p.asked(s.front.requests.Load() - requests)
	s.screens = p.screens
	return errors.Join(err, p.fault(), p.close())
}

// refuse has Pusher refuse what is published, while its sockets go on.
func (s *scene) refuse(f pushertest.Fault) func() error {
	return func() error {
		f.Path = publishing
		s.pusher.Inject(f)
		return nil
	}
}

func (s *scene) accept() error {
	s.pusher.Clear()
	return nil
}

func overQuota(ctx context.Context, s *scene) error {
	return s.watched(ctx, 10*time.Minute, 2*time.Minute, s.refuse(pushertest.Fault{Status: 403, Body: "over quota"}), s.accept)
}

func restDown(ctx context.Context, s *scene) error {
	return s.watched(ctx, 3*time.Minute, time.Minute, s.refuse(pushertest.Fault{Status: 503}), s.accept)
}

func socketsDown(ctx context.Context, s *scene) error {
	return s.watched(ctx, 3*time.Minute, 0, s.sockets.refuse, s.sockets.pass)
}

func socketsSilent(ctx context.Context, s *scene) error {
	return s.watched(ctx, 3*time.Minute, 0, s.sockets.silence, s.sockets.pass)
}

func bothDown(ctx context.Context, s *scene) error {
	return s.watched(ctx, 3*time.Minute, time.Minute,
		func() error { return errors.Join(s.refuse(pushertest.Fault{Reset: true})(), s.sockets.refuse()) },
		func() error { return errors.Join(s.accept(), s.sockets.pass()) })
}
