package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"roomcast/shared/pusher/pushertest"
)

// axeFindsNothing runs axe-core on the page as it is: with dark colours on the widest screen, too, since
// they are the same at each width.
func axeFindsNothing(t *testing.T, ctx context.Context, width int64) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(pushertest.NodeModules(t), "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("run `npm ci` in shared/browser: %v", err)
	}
	must(t, ctx, chromedp.Evaluate[chromedp.Void](`if (!window.axe) {`+string(source)+`}; true`))
	themes := []string{"light"}
	if width == 1280 {
		themes = append(themes, "dark")
	}
	for _, theme := range themes {
		prefer(t, ctx, theme)
		for _, violation := range get(t, ctx, chromedp.Evaluate[[]json.RawMessage](violations, chromedp.EvalAwaitPromise)) {
			t.Errorf("at %d px, %s: %s", width, theme, violation)
		}
	}
}

// violations are axe's; what it could not decide is not among them.
const violations = `axe.run({ resultTypes: ['violations'], preload: false }).then(({ violations }) =>
	violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.slice(0, 4).map(({ html, any }) => [html.slice(0, 160), any[0]?.message]) })))`

// prefer is what a user has chosen in the system: colours, and that nothing moves.
func prefer(t *testing.T, ctx context.Context, theme string) {
	t.Helper()
	must(t, ctx, chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
		_, err := cdp.Call(ctx, page, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return err
	}))
}
