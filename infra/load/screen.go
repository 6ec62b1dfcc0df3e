package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/shared/browser/chromiumtest"
	"roomcast/shared/browser/realtimetest"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/token/tokentest"
)

// onScreen: from a commit acknowledged to its row on the screen of a Chromium, by the
// function, the real pusher-js and our client; and by supabase-js from the stand-in for
// Realtime, on a Postgres of its own. The two are written to in turns.
func onScreen(ctx context.Context, l *lab, db *database) {
	const what = "commit acknowledged to its row drawn in Chromium"
	if _, err := chromiumtest.Find(); err != nil {
		l.found(result{what: what, reached: "not measured", note: err.Error() + "."})
		return
	}
	c := l.openChromium(ctx)
	defer c.close()
	ours, theirs := c.roomcast(ctx, l, db), c.realtime(ctx)
	for _, s := range []*screen{ours, theirs} {
		s.turn(ctx, poisson(20, 50, 1)) // unmeasured: connections, plans and Chromium's compiler
	}
	for _, r := range []struct{ rate, messages int }{{50, l.pick(250, 50)}, {3, l.pick(35, 6)}} {
		var drawn, there, peer []time.Duration
		for round := range l.pick(3, 1) {
			gaps := poisson(r.messages, float64(r.rate), uint64(7+round))
			d, t := ours.turn(ctx, gaps)
			drawn, there = append(drawn, d...), append(there, t...)
			d, _ = theirs.turn(ctx, gaps)
			peer = append(peer, d...)
		}
		p50, p99, peer50, peer99 := median(drawn), quantile(drawn, 0.99), median(peer), quantile(peer, 0.99)
		l.found(result{
			what: fmt.Sprintf("%s, %d/s Poisson", what, r.rate),
			reached: fmt.Sprintf("p50 %s, p99 %s, of the Realtime stand-in's %s and %s: %.2f, %.2f (%d messages each)",
				ms(p50), ms(p99), ms(peer50), ms(peer99), float64(p50)/float64(peer50), float64(p99)/float64(peer99), len(drawn)),
			target: "p50 ≤ 15 ms, p99 ≤ 50 ms",
			met:    p50 <= 15*time.Millisecond && p99 <= 50*time.Millisecond,
			note: fmt.Sprintf("Until the frame is made; the row's node was in the document after %s, %s. The stand-in reads the WAL every 100 ms, as Realtime does by default, and checks no row level security.",
				ms(median(there)), ms(quantile(there, 0.99))),
		})
	}
}

//go:embed screen.html
var screenHTML []byte

// chromium is a browser and the server of its pages.
type chromium struct {
	browser context.Context
	mux     *http.ServeMux
	url     string
	ends    []func() error
}

// openChromium starts both. Pages load the real libraries, and the client as it is built.
func (l *lab) openChromium(ctx context.Context) *chromium {
	folder := filepath.Join(l.root, "shared", "browser")
	libraries := filepath.Join(folder, "node_modules")
	if _, err := os.Stat(filepath.Join(libraries, "pusher-js")); err != nil {
		l.say("  npm ci in %s", folder)
		check(l.command(ctx, folder, "npm", "ci", "--ignore-scripts"))
	}
	c := &chromium{mux: http.NewServeMux()}
	c.mux.Handle("GET /", http.FileServer(http.Dir(folder))) // roomcast.js and its parts
	c.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(screenHTML)
	})
	for route, file := range map[string]string{"GET /pusher.js": "pusher-js/dist/web/pusher.min.js", "GET /supabase.js": "@supabase/supabase-js/dist/umd/supabase.js"} {
		c.mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(libraries, file)) })
	}
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	c.url = "http://" + listener.Addr().String()
	server := &http.Server{Handler: c.mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // until Close
	c.ends = append(c.ends, server.Close)

	temp, err := os.MkdirTemp("", "load-")
	if err == nil {
		c.ends = append(c.ends, func() error { return os.RemoveAll(temp) })
		var stop func() error
		c.browser, stop, err = chromiumtest.Launch(context.WithoutCancel(ctx), temp, 1000, 700)
		c.ends = append(c.ends, stop)
	}
	if err != nil {
		c.close()
		check(err)
	}
	return c
}

// close ends all, what was begun last first.
func (c *chromium) close() {
	for _, end := range slices.Backward(c.ends) {
		_ = end() // what was measured is measured
	}
}

// screen is a page that shows one room, and the database that the room is in.
type screen struct {
	db   *database
	said chan saying
}

// saying is what screen.html says: that it is live, or when a row was there and drawn, in
// milliseconds since 1970.
type saying struct {
	Live         bool
	Text         string
	There, Drawn float64
	thrown       error
}

// roomcast opens a page that hears the function.
func (c *chromium) roomcast(ctx context.Context, l *lab, db *database) *screen {
	const secret = "jwt-secret-of-the-load-suite-32-characters"
	push := must(pushertest.New(pushertest.Options{Record: -1}))
	c.ends = append(c.ends, func() error { push.Close(); return nil })
	app := push.Config()
	p := l.function(ctx, "DATABASE_URL="+db.relay, "SUPABASE_JWT_SECRET="+secret, "ALLOWED_ORIGINS="+c.url, "LINGER=10m",
		"PUSHER_HOST="+app.Host, "PUSHER_APP_ID="+app.AppID, "PUSHER_KEY="+app.Key, "PUSHER_SECRET="+app.Secret)
	user := roomID(1_000_000)
	must(db.pool.Exec(ctx, `insert into public.room_participants (room_id, user_id) values (public.room(0), $1)`, user))
	wake(ctx, p)
	return c.open(ctx, db, "byRoomcast", map[string]string{
		"key": app.Key, "sockets": app.Host, "url": "http://" + p.addr(), "room": roomID(0),
		"token": must(tokentest.HS256(secret).Sign(tokentest.Claims("http://127.0.0.1:9", user, time.Now()))),
	})
}

// realtime opens a page that hears the stand-in for Realtime.
func (c *chromium) realtime(ctx context.Context) *screen {
	postgres := must(outboxtest.StartPostgres(ctx, outboxtest.Options{Durable: true, Settings: map[string]string{"wal_level": "logical"}}))
	c.ends = append(c.ends, postgres.Stop)
	db := &database{owner: postgres.URL("postgres")}
	check(outboxtest.Exec(ctx, db.owner, chatSQL+`; create publication `+realtimetest.Publication+` for table public.messages`))
	db.pool = must(pgxpool.New(ctx, db.owner))
	// Poll: a change waits for the feed's next look at the WAL, and for nothing besides.
	server := realtimetest.New(realtimetest.Options{Poll: time.Nanosecond})
	c.mux.Handle("GET "+realtimetest.Path, server)
	feed := must(realtimetest.Follow(ctx, db.owner, server))
	c.ends = append(c.ends, func() error { feed.Close(); db.pool.Close(); server.Cut(); return nil })
	return c.open(ctx, db, "byRealtime", map[string]string{"url": c.url, "room": roomID(0)})
}

// open opens a page, has it begin, and waits until it is live.
func (c *chromium) open(ctx context.Context, db *database, begin string, config map[string]string) *screen {
	s := &screen{db: db, said: make(chan saying, 1000)} // more than a turn has
	page := must(chromiumtest.Open(c.browser, c.url+"/", func(text string, _ time.Time) {
		var said saying
		said.thrown = json.Unmarshal([]byte(text), &said)
		s.said <- said
	}, func(err error) { s.said <- saying{thrown: err} }))
	began := time.Now()
	clock := at(must(chromedp.Run(page, chromedp.Evaluate[float64](`now()`))))
	if slack := time.Millisecond; clock.Before(began.Add(-slack)) || clock.After(time.Now().Add(slack)) {
		check(errors.New("the page's clock is not ours")) // which would be in every figure
	}
	check(chromedp.Do(page, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`%s(%s)`, begin, must(json.Marshal(config))))))
	for !s.next(ctx).Live {
	}
	return s
}

// next is what the page says next.
func (s *screen) next(ctx context.Context) saying {
	select {
	case said := <-s.said:
		check(said.thrown)
		return said
	case <-ctx.Done():
		check(fmt.Errorf("the page says nothing: %w", ctx.Err()))
	}
	return saying{}
}

// turn writes one message after each gap, and returns how long it took until each was drawn,
// and until its node was there.
func (s *screen) turn(ctx context.Context, gaps []time.Duration) (drawn, there []time.Duration) {
	untilDrawn, untilThere := newStopwatch(len(gaps)), newStopwatch(len(gaps))
	s.db.writeAfter(ctx, gaps, untilDrawn, 1)
	untilThere.committed = untilDrawn.committed
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for shown := 0; shown < len(gaps); {
		said := s.next(ctx)
		if said.Live { // once more, after a connection was lost
			continue
		}
		shown++
		untilDrawn.note([]byte(said.Text), at(said.Drawn))
		untilThere.note([]byte(said.Text), at(said.There))
	}
	if slices.ContainsFunc(untilDrawn.arrived, time.Time.IsZero) {
		check(errShort) // and another twice
	}
	return untilDrawn.times(), untilThere.times()
}

// at is a moment of a page's clock.
func at(ms float64) time.Time { return time.UnixMicro(int64(ms * 1000)) }
