package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/infra/child"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/token/tokentest"
)

// Client pages while people write, with the real pusher-js and our client, in Node: of
// those that write and of those that only look on.
const (
	writerPages   = 2
	onlookerPages = 4
	pagesPace     = 700 * time.Millisecond // between two messages
	writersWithin = 15 * time.Second
	onlookWithin  = 120 * time.Second
)

//go:embed pages.mjs
var pagesScript string

// pages are the process with all pages, and what they have shown.
type pages struct {
	*screens
	process *child.Process
	stdin   io.WriteCloser
	room    string
	db      *pgx.Conn
}

// openPages starts the pages and waits until each is live.
func (s *scene) openPages(ctx context.Context) (_ *pages, err error) {
	p := &pages{room: s.room(), screens: newScreens(writerPages+onlookerPages, writerPages)}
	if p.db, err = pgx.Connect(ctx, s.ownerURL); err != nil {
		return nil, err
	}
	if _, err := p.db.Exec(ctx, `create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language sql stable set search_path = pg_catalog, pg_temp return true`); err != nil {
		return nil, fmt.Errorf("can_read: %w", err)
	}
	node, browser, err := findNode(ctx)
	if err != nil {
		return nil, err
	}
	config, err := s.pagesConfig(p.room, browser)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(node, "--input-type=module", "--eval", pagesScript)
	cmd.Env, cmd.Stderr = append(os.Environ(), "PAGES="+config), s.stderr
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.process, err = child.Start(cmd, syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	go p.read(stdout)
	return p, s.until(ctx, "the pages to be live", func() bool { return p.live() == writerPages+onlookerPages })
}

// findNode returns Node and the client's folder with its packages.
func findNode(ctx context.Context) (node, browser string, err error) {
	if node, err = exec.LookPath("node"); err != nil {
		return "", "", err
	}
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", "", fmt.Errorf("module: %w", err)
	}
	browser = filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "shared", "browser")
	if _, err := os.Stat(filepath.Join(browser, "node_modules", "pusher-js")); err != nil {
		return "", "", fmt.Errorf("run `npm ci` in shared/browser: %w", err)
	}
	return node, browser, nil
}

// pagesConfig is what the script is told: every page has a user and an address of its
// own, so that its requests are counted.
func (s *scene) pagesConfig(room, browser string) (string, error) {
	type page struct {
		URL   string `json:"url"`
		Token string `json:"token"`
	}
	config := struct {
		Browser string `json:"browser"`
		Key     string `json:"key"`
		Sockets string `json:"sockets"`
		Room    string `json:"room"`
		Pages   []page `json:"pages"`
	}{browser, s.pusher.Config().Key, s.sockets.address(), room, nil}
	for n := range writerPages + onlookerPages {
		token, err := tokentest.HS256(jwtSecret).Sign(tokentest.Claims("http://127.0.0.1:9", uuid(s.rnd), time.Now()))
		if err != nil {
			return "", err
		}
		config.Pages = append(config.Pages, page{fmt.Sprintf("%s/page-%d", s.frontURL, n), token})
	}
	text, err := json.Marshal(config)
	return string(text), err
}

// read notes what the pages say, until their end.
func (p *pages) read(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var said saying
		if err := json.Unmarshal(lines.Bytes(), &said); err == nil {
			p.note(said, time.Now())
		}
	}
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
		if _, err := fmt.Fprintf(p.stdin, "{\"page\":%d,\"id\":%q}\n", n%writerPages, e.id); err != nil {
			return err
		}
		wait(ctx, pagesPace/2+time.Duration(s.rnd.Int64N(int64(pagesPace))))
	}
	return ctx.Err()
}

func (p *pages) close() error {
	return errors.Join(p.stdin.Close(), p.process.Stop(child.KillTimeout), p.db.Close(context.Background()))
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
	return errors.Join(err, p.close())
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
	return s.watched(ctx, 10*time.Minute, 7*time.Minute, s.refuse(pushertest.Fault{Status: 403, Body: "over quota"}), s.accept)
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
