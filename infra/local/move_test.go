package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// theMove is the demo of moving a chat: both ways side by side, a cut network that
// loses nothing, what the parity report makes of it, and the other two modes.
func theMove(t *testing.T, env map[string]string) {
	ctx := browser(t)
	mira, jonas := paneOf(memberID), paneOf(otherMemberID)
	must(t, ctx, chromedp.Navigate(env["DEMO_URL"]), visible(mira+` .send`), visible(jonas+` .send`))
	write := writer(t, env)
	bothWays(t, ctx, write, mira, "Evening. The lamp is lit.", "Wind’s rising, by the way.")

	must(t, ctx, click(mira+` .cut`), visible(mira+`.offline`))
	var ids []string
	for i, text := range []string{
		"Storm’s picking up. Did you see the harbour lights go out?", "Mira?", "Keeping the light on until you answer.",
		"The ferry turned round at the breakwater.", "Everybody is safe, all boats in.",
	} {
		ids = append(ids, write(otherMemberID, text))
		must(t, ctx, visible(message(jonas, ids[i])))
	}
	if shown := lastShown(t, ctx, mira+`.offline`, 5); len(shown) == 0 || slices.ContainsFunc(shown, func(id string) bool { return slices.Contains(ids, id) }) {
		t.Fatalf("without a network Mira's pane shows %v (nothing: it came back too early)", shown)
	}
	must(t, ctx, click(mira+`.offline .cut`), visible(message(mira, ids[4])), visible(message(mira, ids[0])+` .fetched`))
	for _, pane := range []string{mira, jonas} {
		if shown := lastShown(t, ctx, pane, 5); !slices.Equal(shown, ids) {
			t.Errorf("%s ends with %v, want %v", pane, shown, ids)
		}
		if again := repeated(t, ctx, pane); len(again) > 0 {
			t.Errorf("%s shows more than once: %v", pane, again)
		}
	}
	bothWays(t, ctx, write, mira, "Back again. I can read all of it.", "Coffee for everybody, then.")
	// Supabase lost what came meanwhile, and the report says so.
	must(t, ctx, visible(message(mira, ids[0])+` .missed`))
	poll(t, ctx, `Number(document.querySelector('[data-parity="fetched"]').textContent) >= 5`)
	screenshot(t, ctx, "move")

	for _, mode := range []string{"pusher", "supabase"} {
		// Its input is invisible; the label's click is the user's.
		poll(t, ctx, fmt.Sprintf(`(document.querySelector('input[value=%s]').click(), document.body.dataset.mode === %[1]q)`, mode))
		id := write(memberID, "By "+mode+" alone.")
		must(t, ctx, visible(message(mira, id)+` .delay`), visible(message(jonas, id)+` .delay`))
	}
}

// writer returns a function that inserts a message with plain SQL and returns its id.
func writer(t *testing.T, env map[string]string) func(user, text string) string {
	conn := connect(t, env)
	return func(user, text string) (id string) {
		t.Helper()
		err := conn.QueryRow(t.Context(), `insert into public.messages (room_id, user_id, content)
			values ($1, $2, $3) returning id::text`, env["DEMO_ROOM"], user, text).Scan(&id)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
}

// bothWays waits until a message shows the delays of both ways. Realtime is live some
// time after the page is, and misses what is written before; the page says so.
func bothWays(t *testing.T, ctx context.Context, write func(user, text string) string, pane string, texts ...string) {
	t.Helper()
	var chips string
	for i := range 4 {
		id := write(memberID, texts[i%len(texts)])
		chips = get(t, ctx, chromedp.Poll[string](fmt.Sprintf(`(() => {
			const text = [...document.querySelectorAll(%q)].map((e) => e.textContent).join(", ")
			return /Supabase \d|missed/.test(text) && /Pusher|fetched/.test(text) && text
		})()`, message(pane, id)+` .delay`)))
		if strings.Contains(chips, "Pusher") && !strings.Contains(chips, "missed") {
			return
		}
	}
	t.Fatalf("no message came both ways; the last one: %s", chips)
}

func message(pane, id string) string { return fmt.Sprintf(`%s .message[data-id="%s"]`, pane, id) }

// lastShown returns the ids of a pane's last n messages, as they are shown.
func lastShown(t *testing.T, ctx context.Context, pane string, n int) []string {
	t.Helper()
	ids := shownIn(t, ctx, pane)
	return ids[max(0, len(ids)-n):]
}

func repeated(t *testing.T, ctx context.Context, pane string) (again []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, id := range shownIn(t, ctx, pane) {
		if seen[id] {
			again = append(again, id)
		}
		seen[id] = true
	}
	return again
}

func shownIn(t *testing.T, ctx context.Context, pane string) (ids []string) {
	t.Helper()
	text := get(t, ctx, chromedp.Evaluate[string](fmt.Sprintf(
		`JSON.stringify([...document.querySelectorAll(%q)].map((e) => e.dataset.id))`, pane+" .message")))
	if err := json.Unmarshal([]byte(text), &ids); err != nil {
		t.Fatal(err)
	}
	return ids
}

func poll(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	get(t, ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(100*time.Millisecond)))
}
