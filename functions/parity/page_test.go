package parity_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"roomcast/shared/browser/chromiumtest"
)

func TestPageEscapes(t *testing.T) {
	store := badWeek()
	store.parity.Rooms[0].Room = `<script>alert("1")</script>`
	store.findings[0].Table = `public."a<b"`
	_, _, body := do(t, "GET", serve(t, store)+"?format=html", "", map[string]string{"Authorization": "Bearer " + secret})
	if strings.Contains(body, "<script") || strings.Contains(body, "a<b") || !strings.Contains(body, "&lt;script&gt;") {
		t.Error("a room's id or a table's name is markup")
	}
	// Inline styles would be refused by the policy, and %!s is a slip of ours.
	if regexp.MustCompile(` style=|%!|NaN|<no value>`).MatchString(body[strings.Index(body, "</style>"):]) {
		t.Error("the page has inline styles or a slip of the pen")
	}
}

// Whatever users make of a room's id, the page and the text show it and do nothing else.
func TestRoomsAreHarmlessWhereTheyAreShown(t *testing.T) {
	for _, room := range []string{
		"\x1b]0;owned\x07", "\x1b[2J\x1b[31mred", "a\nSAFE TO CUT OVER", "a\r\nb", "\u202eesrever", "\u2066isolated", "a\u200bb",
		"\u2028line", "\x00nul", "\x9b31mC1", "<img src=x onerror=alert(1)>", "' onload='x", "\"><svg onload=x>", "\xff\xfe", "\ufeffbom",
	} {
		store := badWeek()
		store.parity.Rooms[0].Room = room
		for _, form := range []string{"html", "text"} {
			_, _, body := do(t, "GET", serve(t, store)+"?format="+form, "", map[string]string{"Authorization": "Bearer " + secret})
			if acts := strings.IndexFunc(body, func(r rune) bool {
				return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029')
			}); acts >= 0 {
				t.Errorf("%q as %s: %q", room, form, body[max(0, acts-20):min(len(body), acts+20)])
			}
			if form == "html" && regexp.MustCompile(`<(img|svg on)|' onload|onload='|"><svg on`).MatchString(body[strings.Index(body, "</style>"):]) {
				t.Errorf("%q is markup", room)
			}
			if form == "text" && strings.Count(body, "\nSAFE") > 0 {
				t.Errorf("%q writes a verdict", room)
			}
		}
	}
}

// Before the first receipt the page must say so, and not divide by zero.
func TestPageOfNothing(t *testing.T) {
	_, _, body := do(t, "GET", serve(t, &fake{})+"?format=html", "", map[string]string{"Authorization": "Bearer " + secret})
	if strings.Contains(body, "NaN") || strings.Contains(body, "Inf") || !strings.Contains(body, "Not yet") || !strings.Contains(body, "No delays were measured yet") {
		t.Error(body[strings.Index(body, "</style>"):])
	}
}

// TestPageInChromium opens the page as an operator does, by HTTP Basic, and looks
// whether it is styled, fits, and breaks no policy. Its screenshots are for people.
func TestPageInChromium(t *testing.T) {
	ctx := browser(t)
	var mu sync.Mutex
	var complaints []string
	if err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*log.EventEntryAdded); ok && !strings.Contains(e.Entry.URL, "favicon") {
			mu.Lock()
			defer mu.Unlock()
			complaints = append(complaints, e.Entry.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	good, bad := serve(t, week()), serve(t, badWeek())
	for _, tt := range []struct {
		name, address string
		width         int64
		media, scheme string
	}{
		{"safe", good, 1100, "screen", "light"},
		{"safe-dark", good, 1100, "screen", "dark"},
		{"not-yet", bad, 1100, "screen", "light"},
		{"not-yet-dark", bad, 1100, "screen", "dark"},
		{"phone", bad, 390, "screen", "light"},
		{"printed", good, 720, "print", "dark"},
		{"nothing", serve(t, &fake{findings: clean()}), 1100, "screen", "light"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			must(t, ctx,
				command(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Authorization": basic("operator", secret)}}),
				command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Media: tt.media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: tt.scheme}}}),
				chromedp.EmulateViewport(tt.width, 900), chromedp.Navigate(tt.address))
			got := get(t, ctx, chromedp.Evaluate[map[string]any](`({
				styled: getComputedStyle(document.querySelector("main")).borderTopStyle,
				overflow: document.documentElement.scrollWidth - innerWidth,
				dark: getComputedStyle(document.body).color === "rgb(230, 237, 235)"})`))
			if got["styled"] != "solid" {
				t.Error("the sheet was not applied")
			}
			if over, _ := got["overflow"].(float64); over > 0 {
				t.Errorf("wider than the screen by %v", over)
			}
			if got["dark"] != (tt.scheme == "dark" && tt.media == "screen") {
				t.Errorf("dark: %v", got["dark"])
			}
			keep(t, ctx, tt.name)
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if len(complaints) > 0 {
		t.Errorf("the browser complains: %q", complaints)
	}
}

// command is a protocol command as an action.
func command[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	})
}

func keep(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	image := get(t, ctx, chromedp.FullScreenshot(100))
	if !bytes.HasPrefix(image, []byte("\x89PNG")) {
		t.Error("no picture")
	}
	path := filepath.Join(t.ArtifactDir(), name+".png")
	if err := os.WriteFile(path, image, 0o644); err != nil {
		t.Errorf("screenshot: %v", err)
	}
	t.Logf("screenshot: %s", path)
}

// browser starts a Chromium for the test.
func browser(t *testing.T) context.Context { return chromiumtest.Start(t, 1100, 900) }

func must(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(limited, actions...); err != nil {
		t.Fatal(err)
	}
}

func get[T any](t *testing.T, ctx context.Context, action chromedp.Action[T]) T {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	value, err := chromedp.Run(limited, action)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}
