package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"roomcast/functions/parity"
	"roomcast/shared/pusher/pushertest"
)

// TestTwentyCuts is the promise of the move, in a real browser with the real pusher-js
// and supabase-js, the real function and Postgres: 20 messages a second while the page's
// network is cut and restored twenty times, Pusher restarts, tokens expire, members come
// and go. In each mode, and while switching, every message is shown once and in order.
// The naive handlers beside them lose some, so there was something to lose; and the
// parity report of that very run shows what Supabase lost and Pusher did not.
func TestTwentyCuts(t *testing.T) {
	pushertest.NodeModules(t)
	t.Parallel()
	c := newCuts(t)
	ctx := browser(t)
	must(t, ctx, chromedp.Navigate(c.address()), chromedp.Poll[chromedp.Void](`window.loaded && live()`))
	written, stop := make(chan int), make(chan struct{})
	conn := connect(t, c.env)
	go func() { written <- c.chatter(conn, stop) }()
	poll(t, ctx, `flowing()`)
	c.cutTwenty(t, ctx)
	c.pause(3000) // all come back while somebody writes
	close(stop)
	n := <-written
	if _, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void](fmt.Sprintf(`last("%d")`, n), chromedp.WithPollingTimeout(30*time.Second))); err != nil {
		t.Errorf("message %d is not everywhere the last: %v", n, err)
	}
	lost := shownRight(t, ctx, n)
	c.reportAgrees(t, ctx, n, lost["naive-supabase"])
	poll(t, ctx, fmt.Sprintf(`(draw(%d, "%[1]d messages at 20 a second, twenty cuts of the network, a restart of Pusher, expired tokens. A red square is a message that never came."), true)`, n))
	t.Logf("%d messages; lost by plain handlers: %v", n, lost)
	screenshot(t, ctx, "cuts")
}

// cutTwenty does everything that can go wrong on the way to the page.
func (c *cuts) cutTwenty(t *testing.T, ctx context.Context) {
	modes := []string{"both", "pusher", "supabase"}
	for i := range 20 {
		c.pause(700 + c.random.IntN(1600))
		if i%3 == 0 {
			must(t, ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`switchTo(%q)`, modes[i/3%3])))
		}
		told := i%2 == 0 // the browser notices, or does not
		if told {
			must(t, ctx, chromedp.Evaluate[chromedp.Void](`window.dispatchEvent(new Event('offline'))`))
		}
		c.world.cut(true)
		c.push.cut(true)
		c.pause(50 + c.random.IntN(450))
		switch i {
		case 5, 15:
			c.visitor(i == 5)
		case 10:
			c.pusher.Stop()
			c.pause(500)
			if err := c.pusher.Start(); err != nil {
				t.Fatal(err)
			}
		}
		c.world.cut(false)
		c.push.cut(false)
		if told {
			must(t, ctx, chromedp.Evaluate[chromedp.Void](`window.dispatchEvent(new Event('online'))`))
		}
	}
}

// shownRight compares what is on the screen with what was written, and returns what the
// naive handlers lost: they hear nothing of before, so it counts from what they show first.
func shownRight(t *testing.T, ctx context.Context, n int) map[string]int {
	t.Helper()
	shown := get(t, ctx, chromedp.Evaluate[map[string][]string](`shown()`))
	for _, mode := range []string{"pusher", "both", "supabase", "switching"} {
		if got := shown[mode]; !slices.Equal(got, numbers(1, n)) {
			t.Errorf("mode %s showed %d of %d messages: %s", mode, len(got), n, oddities(got))
		}
	}
	lost := map[string]int{}
	for _, naive := range []string{"naive-pusher", "naive-supabase"} {
		first, _ := strconv.Atoi(shown[naive][0])
		lost[naive] = n - first + 1 - len(shown[naive])
		if lost[naive] < 1 {
			t.Errorf("%s lost nothing: the network was not bad enough to show anything", naive)
		}
	}
	return lost
}

// counts is what the page counted: by itself, and in the receipts that it sent.
type counts struct {
	First          int64 // the first message that both sides brought in mode both
	LostBySupabase int64
	Told           map[string]struct{ Both, Pusher, Supabase int64 }
}

// reportAgrees holds the parity report against what the page saw, and against what the plain
// handler lost, whose connection came back at other moments. Receipts come some seconds
// after the messages, so it asks until they have.
func (c *cuts) reportAgrees(t *testing.T, ctx context.Context, n, naive int) {
	t.Helper()
	var seen counts
	var r parity.Report
	limited, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for complete := false; !complete && limited.Err() == nil; c.pause(200) {
		seen = get(t, ctx, chromedp.Evaluate[counts](`counts()`))
		r = c.report(t, "min_hours=1&min_messages=100&min_page_hours=1&max_share=1&p95_slack_ms=5000")
		both := seen.Told["both"]
		complete = both.Both+both.Pusher+both.Supabase == int64(n)-seen.First+1 && r.Compared == total(seen)
	}
	both := seen.Told["both"]
	if both.Pusher != seen.LostBySupabase || seen.LostBySupabase == 0 || both.Both != int64(n)-seen.First+1-seen.LostBySupabase {
		t.Errorf("the receipts of mode both say %+v; the page missed %d by Supabase from message %d on, of %d", both, seen.LostBySupabase, seen.First, n)
	}
	if lost := int(both.Pusher); lost > 2*naive || naive > 2*lost {
		t.Errorf("Supabase lost %d in mode both and %d beside it, in the same network", lost, naive)
	}
	if want := both.Pusher + seen.Told["switching"].Pusher; r.OnlyPusher != want || r.OnlySupabase != 0 || r.Compared != total(seen) {
		t.Errorf("the report has %d of %d lost by Supabase and %d by Pusher, want %d of %d and none", r.OnlyPusher, r.Compared, r.OnlySupabase, want, total(seen))
	}
	if r.Messages != int64(n) || len(r.Rooms) != 1 || r.Rooms[0].Room != c.room || r.Rooms[0].OnlyPusher != r.OnlyPusher || r.Fetched == 0 ||
		r.Pusher.Count == 0 || r.Supabase.Count == 0 {
		t.Errorf("of %d messages in %s: %+v", n, c.room, r)
	}
	if !r.Verdict.Safe {
		t.Errorf("not safe, by limits for so short a run: %+v", r.Verdict.Missing())
	}
	// By its own limits the verdict wants more of the same, and finds nothing wrong.
	for _, check := range c.report(t, "").Verdict.Checks {
		if more := slices.Contains([]string{"Time", "Messages", "Pages", "Users"}, check.Name); check.OK == more && check.Name != "Delay" {
			t.Errorf("by default: %+v", check)
		}
	}
	t.Logf("lost by Supabase: %d of %d compared (%d by the page in mode both), p95 %.0f ms; by Pusher: %d, p95 %.0f ms",
		r.OnlyPusher, r.Compared, both.Pusher, r.Supabase.P95, r.OnlySupabase, r.Pusher.P95)
	c.print(t)
}

func total(e counts) (n int64) {
	for told := range maps.Values(e.Told) {
		n += told.Both + told.Pusher + told.Supabase
	}
	return n
}

// report asks for the parity report as an operator's program does.
func (c *cuts) report(t *testing.T, query string) (r parity.Report) {
	t.Helper()
	status, body := call(t, "GET", c.env["ROOMCAST_URL"]+"/parity?format=json&hours=2&"+query, c.env["PARITY_SECRET"], "")
	if err := json.Unmarshal([]byte(body), &r); err != nil || status != 200 {
		t.Fatalf("report: %d %v %s", status, err, body)
	}
	return r
}

// print opens the report as an operator does, and keeps a picture of it.
func (c *cuts) print(t *testing.T) {
	t.Helper()
	ctx := browser(t)
	must(t, ctx, chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
		_, err := cdp.Call(ctx, page, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"Authorization": "Bearer " + c.env["PARITY_SECRET"]}})
		return err
	}), chromedp.Navigate(c.env["ROOMCAST_URL"]+"/parity?format=html&hours=2&min_hours=1&min_messages=100&min_page_hours=1&max_share=1&p95_slack_ms=5000"),
		visible("h1"))
	if said := get(t, ctx, chromedp.Text(chromedp.CSS("h1"))); said != "Safe to cut over" {
		t.Errorf("the page says %q", said)
	}
	path := filepath.Join(t.ArtifactDir(), "report.png")
	if err := os.WriteFile(path, get(t, ctx, chromedp.FullScreenshot(100)), 0o644); err != nil {
		t.Errorf("screenshot: %v", err)
	}
	t.Logf("screenshot: %s", path)
}

func (c *cuts) address() string {
	return "http://" + c.world.addr() + "/page?" + url.Values{
		"room": {c.room}, "pusher": {c.push.addr()}, "key": {c.pusher.Config().Key}}.Encode()
}

func (c *cuts) pause(ms int) {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
	case <-c.t.Context().Done():
	}
}

func numbers(from, to int) (out []string) {
	for i := from; i <= to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

// oddities names the places where a list is not 1, 2, 3 and so on.
func oddities(got []string) string {
	var out []string
	last := "0"
	for _, text := range got {
		if n, _ := strconv.Atoi(last); text != strconv.Itoa(n+1) {
			out = append(out, last+" then "+text)
		}
		last = text
	}
	return strings.Join(out, ", ")
}

// seedOf is ROOMCAST_SEED or a new one, printed.
func seedOf(t *testing.T) *rand.Rand {
	seed, err := strconv.ParseUint(os.Getenv("ROOMCAST_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().Unix())
	}
	t.Logf("ROOMCAST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 2))
}
