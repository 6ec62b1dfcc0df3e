package main

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// livelyPage is what a chat has beside messages: reactions, typing, who is online, unread
// rooms; tabs by arrow keys; and a page that fits narrow screens, three panes and one, in
// which axe finds nothing.
func livelyPage(t *testing.T, env map[string]string) {
	ctx := browser(t)
	mira, jonas := paneOf(memberID), paneOf(otherMemberID)
	must(t, ctx, chromedp.Navigate(env["DEMO_URL"]), visible(mira+` .send`), visible(jonas+` .send`))

	// A reaction appears on the other's screen, and goes again.
	const first = "00000000-0000-4000-8000-000000000101"
	chip := func(pane, state string) string {
		return fmt.Sprintf(`!!document.querySelector('%s .message[data-id="%s"] .reactions button%s')`, pane, first, state)
	}
	must(t, ctx, click(fmt.Sprintf(`%s .message[data-id="%s"] .reactions button`, jonas, first)))
	poll(t, ctx, chip(mira, `:not(.add)[aria-pressed="false"]`))
	poll(t, ctx, chip(jonas, `[aria-pressed="true"]`))
	must(t, ctx, click(fmt.Sprintf(`%s .message[data-id="%s"] .reactions button`, jonas, first)))
	poll(t, ctx, chip(mira, `.add`))

	// Both are online, and typing shows.
	poll(t, ctx, fmt.Sprintf(`document.querySelectorAll('%s .person.online').length === 2`, mira))
	must(t, ctx, chromedp.SendKeys(chromedp.CSS(jonas+` .send input`), "Hm"))
	poll(t, ctx, fmt.Sprintf(`document.querySelector('%s .typing').textContent.includes('Jonas is typing')`, mira))

	// Arrow keys choose a tab and keep the focus; the room behind counts what is unread.
	must(t, ctx, chromedp.Focus(chromedp.CSS(mira+` [role=tab][aria-selected=true]`)), chromedp.KeyEvent(kb.ArrowRight))
	poll(t, ctx, fmt.Sprintf(`document.activeElement.matches('%s [role=tab][aria-selected=true]') && document.activeElement.textContent.startsWith('Lighthouse')`, mira))
	id := writer(t, env)(otherMemberID, "Read me later.")
	must(t, ctx, visible(message(jonas, id)))
	poll(t, ctx, fmt.Sprintf(`document.querySelector('%s [role=tab][aria-selected=false] b')?.textContent === '1'`, mira))
	must(t, ctx, chromedp.KeyEvent(kb.ArrowLeft))
	must(t, ctx, visible(message(mira, id)))
	screenshot(t, ctx, "lively")

	must(t, ctx, click(`#stranger`), visible(paneOf(strangerID)))
	invitation(t, ctx, env)
	must(t, ctx, click(mira+` .cut`), visible(mira+`.offline`))
	fitsAll(t, ctx, "page")
	must(t, ctx, chromedp.Navigate(env["DEMO_URL"]+"/?token="+url.QueryEscape(env["MEMBER_JWT"])), visible(mira+` .send`))
	must(t, ctx, visible(message(mira, writer(t, env)(otherMemberID, "Can everybody read this?"))+` .delay`))
	fitsAll(t, ctx, "pane")
}

// fitsAll looks at the page as wide as a telephone and as a desk's screen: nothing lies
// outside, and nothing hinders those who do not see it, or not well.
func fitsAll(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for _, size := range []struct{ width, height int64 }{{320, 640}, {390, 760}, {430, 860}, {1280, 800}} {
		must(t, ctx, chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
			_, err := cdp.Call(ctx, page, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
				Width: size.width, Height: size.height, DeviceScaleFactor: 1})
			return err
		}))
		outside := get(t, ctx, chromedp.Evaluate[[]string](outside))
		if len(outside) > 0 {
			t.Errorf("at %d px: %v", size.width, outside)
		}
		axeFindsNothing(t, ctx, size.width)
		screenshot(t, ctx, fmt.Sprintf("%s-%d", name, size.width))
	}
	prefer(t, ctx, "light")
}

// outside names the controls that lie outside of the page or of their pane.
const outside = `[...document.querySelectorAll('button, input, [role=tab]')].filter((e) => e.offsetParent).flatMap((e) => {
	const at = e.getBoundingClientRect(), pane = e.closest('.pane')?.getBoundingClientRect() ?? { left: 0, right: innerWidth }
	const inScroller = e.closest('.rooms, .log')
	const bad = document.documentElement.scrollWidth > innerWidth || (!inScroller && (at.left < pane.left - 1 || at.right > pane.right + 1)) || pane.right > innerWidth + 1
	return bad ? [(e.textContent || e.name) + ' ' + Math.round(at.left) + '-' + Math.round(at.right) + ' of ' + Math.round(pane.right) + ', page ' + document.documentElement.scrollWidth] : []
})`

// invitation: who is added to a room hears of it in person, though the room's own channel
// was refused before, and its page enters; so does who is removed.
func invitation(t *testing.T, ctx context.Context, env map[string]string) {
	t.Helper()
	mira, kai := paneOf(memberID), paneOf(strangerID)
	must(t, ctx, visible(kai+` .refused`), click(mira+` .invite`))
	must(t, ctx, visible(kai+` .send`))
	poll(t, ctx, fmt.Sprintf(`document.querySelector('%s .log').textContent.includes('You were added to this room')`, kai))
	id := writer(t, env)(memberID, "Welcome, Kai.")
	must(t, ctx, visible(message(kai, id)))
	if _, err := connect(t, env).Exec(t.Context(), `delete from public.room_participants where user_id = $1`, strangerID); err != nil {
		t.Fatal(err)
	}
	must(t, ctx, visible(kai+` .refused.left`))
}
