package parity

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The page is written by hand and not by html/template, which calls methods by name: a
// linker that cannot know which must keep them all: 2.3 MB (measured) of a binary that
// is to stay under 14. Its rule is kept all the same: put escapes every text.

//go:embed page.css
var sheet string

// sheetHash names the sheet in a Content-Security-Policy.
func sheetHash() string {
	sum := sha256.Sum256([]byte(sheet))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// raw is text that is HTML already.
type raw string

// page is the certificate being written.
type page struct {
	*bytes.Buffer
	*Report
}

// put writes format with its arguments; strings among them are escaped.
func (p page) put(format string, args ...any) {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			args[i] = html.EscapeString(visible(v))
		case raw:
			args[i] = string(v)
		}
	}
	fmt.Fprintf(p, format, args...)
}

// visible writes out the characters of a text that show nothing of themselves: controls,
// and the marks that turn the direction of what follows. Users choose the rooms' ids.
func visible(text string) string {
	if !strings.ContainsFunc(text, hidden) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if hidden(r) {
			fmt.Fprintf(&out, `\u{%x}`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

func writePage(to *bytes.Buffer, r *Report) {
	p := page{to, r}
	p.head()
	p.verdict()
	p.figures()
	p.ledger()
	p.delays()
	p.course()
	p.ranking()
	p.witnesses()
	p.audit()
	p.foot()
}

const mark = `<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9"/>` +
	`<path d="M10.500 21.500a7.800 7.800 0 0 1 0-11M21.500 10.500a7.800 7.800 0 0 1 0 11"/><circle cx="16" cy="16" r="3"/></svg>`

func (p page) head() {
	title, class := "Not yet safe to cut over", "open"
	if p.Gate.Safe {
		title, class = "Safe to cut over", "safe"
	}
	p.put(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">`+
		`<meta name="color-scheme" content="light dark"><title>%s: Roomcast parity certificate</title><style>%s</style></head>`+
		`<body><main class="%s"><header><p class="brand">%s<b>Roomcast</b><time datetime="%s">%s UTC</time></p>`,
		title, raw(sheet), class, raw(mark), p.At.Format(time.RFC3339), when(p.At))
	p.put(`<h1>Parity certificate</h1><p class="lead">What Supabase Realtime and Pusher brought to the same pages, from <b>%s</b> to <b>%s UTC</b>.</p></header>`,
		when(p.From), when(p.At))
}

const (
	tick  = raw(`<svg viewBox="0 0 16 16" role="img" aria-label="passed"><path d="M2.500 8.800l3.600 3.700L13.500 4"/></svg>`)
	cross = raw(`<svg viewBox="0 0 16 16" role="img" aria-label="not passed"><path d="M3.500 3.500l9 9M12.500 3.500l-9 9"/></svg>`)
)

func (p page) verdict() {
	missing := p.Gate.Missing()
	drawn, said := raw("M16 27.500l8 8L39 20"), "Safe to cut over"
	why := "Every check is passed."
	if !p.Gate.Safe {
		drawn, said = "M27 15v15M27 38.500v.2", "Not yet"
		why = fmt.Sprintf("%d of %d checks are not passed.", len(missing), len(p.Gate.Checks))
		if len(missing) == 1 {
			why = fmt.Sprintf("One of %d checks is not passed.", len(p.Gate.Checks))
		}
	}
	p.put(`<section><div class="verdict"><svg class="seal" viewBox="0 0 54 54" aria-hidden="true"><circle cx="27" cy="27" r="25"/><path d="%s"/></svg>`+
		`<div><strong>%s</strong><span>%s</span></div></div><ul class="checks">`, drawn, said, why)
	for _, c := range p.Gate.Checks {
		class, sign := "yes", tick
		if !c.OK {
			class, sign = "no", cross
		}
		p.put(`<li class="%s">%s<b>%s</b><span class="got">%s</span><span class="want">%s</span>`, class, sign, c.Name, c.Got, c.Want)
		if c.Advice != "" {
			p.put(`<p>%s</p>`, c.Advice)
		}
		p.put(`</li>`)
	}
	p.put(`</ul></section>`)
}

func (p page) figures() {
	figure := func(class, label string, n int64) {
		p.put(`<div class="%s"><dt>%s</dt><dd>%s</dd></div>`, class, label, number(n))
	}
	p.put(`<dl class="figures">`)
	figure("", "messages committed", p.Messages)
	figure("", "seen by both", p.Both)
	figure("p", "only by Pusher: Supabase lost them", p.OnlyPusher)
	class := "s"
	if p.OnlySupabase > 0 {
		class = "bad"
	}
	figure(class, "only by Supabase: Roomcast lost them", p.OnlySupabase)
	p.put(`</dl>`)
}

func (p page) ledger() {
	p.put(`<h2>Side by side</h2><p>Each page counts the new messages it sees for itself, so one that three pages saw counts three times: %s compared in %s page-hours. Rooms with messages: %s; with such a page: %s.</p>`,
		number(p.Compared), number(p.PageHours), number(p.RoomsActive), number(min(p.RoomsWatched, p.RoomsActive)))
	p.put(`<div class="wide"><table class="ledger"><thead><tr><th></th><th class="p">Pusher</th><th class="s">Supabase Realtime</th></tr></thead><tbody>`)
	row := func(class, label, note string, pusher, supabase raw) {
		p.put(`<tr class="%s"><th>%s <small>%s</small></th>%s%s</tr>`, class, label, note, pusher, supabase)
	}
	row("", "Lost", "brought by the other side alone", p.count(p.OnlySupabase, "loss"), p.count(p.OnlyPusher, "lost"))
	row("", "Repeats", "dropped before the app saw them", p.count(p.Repeats.Pusher, ""), p.count(p.Repeats.Supabase, ""))
	row("", "Caught up", "fetched over HTTP after a gap", p.count(p.Fetched, ""), `<td class="zero">cannot</td>`)
	p.put(`<tr><th>Order flips <small>pairs that the two brought in different orders</small></th><td class="between" colspan="2">%s</td></tr>`, number(p.Flips))
	delay := func(v float64) raw { return raw("<td>" + millis(v) + "</td>") }
	row("group", "Median delay", "commit to page", delay(p.Pusher.P50), delay(p.Supabase.P50))
	row("", "95 % within", "", delay(p.Pusher.P95), delay(p.Supabase.P95))
	row("", "99 % within", "", delay(p.Pusher.P99), delay(p.Supabase.P99))
	p.put(`</tbody></table></div>`)
}

// count is a table's cell; class is for more than none.
func (p page) count(n int64, class string) raw {
	if n == 0 {
		class = "zero"
	}
	return raw(fmt.Sprintf(`<td class="%s">%s</td>`, class, number(n)))
}

func (p page) delays() {
	p.put(`<h2>Delay</h2><p>From the commit to the page, for what each side brought by itself. Both plots share their scales.</p>`)
	if p.Pusher.Count == 0 && p.Supabase.Count == 0 {
		p.put(`<p class="none">No delays were measured yet.</p>`)
		return
	}
	plot := newHistogramPlot(p.Pusher, p.Supabase)
	p.put(`<div class="panels">`)
	for _, side := range []struct {
		class, bar, name string
		d                Delays
	}{{"p", "bp", "Pusher", p.Pusher}, {"s", "bs", "Supabase Realtime", p.Supabase}} {
		p.put(`<figure class="panel"><figcaption><small>%s timed</small><span class="%s">%s</span></figcaption>%s</figure>`,
			number(side.d.Count), side.class, side.name, plot.draw(side.name, side.bar, side.d))
	}
	p.put(`</div>`)
}

func (p page) course() {
	p.put(`<h2>Hour by hour</h2><p>Above the line, the messages that pages compared; below it, what only one side brought.</p>`)
	if p.Compared == 0 {
		p.put(`<p class="none">No receipt has come yet.</p>`)
		return
	}
	p.put(`<figure class="wide">%s</figure><p class="legend"><span class="key m">compared</span><span class="key s">lost by Supabase Realtime</span><span class="key l">lost by Roomcast</span></p>`,
		drawHours(p.ByHour))
}

func (p page) ranking() {
	p.put(`<h2>Rooms, most trouble first</h2><p>By what Roomcast lost, then what Supabase lost, then Pusher’s repeats and the order flips.</p>`)
	if len(p.Rooms) == 0 {
		p.put(`<p class="none">No room has had a message.</p>`)
		return
	}
	p.put(`<div class="wide"><table class="rooms"><thead><tr><th>room</th><th>messages</th><th>compared</th><th>only<br>Supabase</th><th>only<br>Pusher</th>` +
		`<th>repeats<br>P / S</th><th>order<br>flips</th><th>p95<br>Pusher</th><th>p95<br>Supabase</th></tr></thead><tbody>`)
	for _, room := range p.Rooms {
		p.put(`<tr><td>%s</td>%s%s%s%s<td>%s / %s</td>%s<td>%s</td><td>%s</td></tr>`, room.Room,
			p.count(room.Messages, ""), p.count(room.Compared, ""), p.count(room.OnlySupabase, "loss"), p.count(room.OnlyPusher, "lost"),
			number(room.Repeats.Pusher), number(room.Repeats.Supabase), p.count(room.Flips, ""),
			millis(room.PusherP95), millis(room.SupabaseP95))
	}
	p.put(`</tbody></table></div>`)
	if hidden := max(p.RoomsActive, p.RoomsWatched) - int64(len(p.Rooms)); hidden > 0 {
		p.put(`<p class="legend">%s more rooms have no more trouble than the last of these.</p>`, number(hidden))
	}
}

func (p page) witnesses() {
	if len(p.Witnesses.First) == 0 {
		return
	}
	p.put(`<h2>Users, most losses first</h2><p>Receipts are the word of whoever sends them: here is whose. A user counts once for a room and hour, whatever the number of pages.</p>` +
		`<div class="wide"><table class="rooms"><thead><tr><th>user</th><th>receipts</th><th>compared</th><th>only<br>Supabase</th></tr></thead><tbody>`)
	for _, u := range p.Witnesses.First {
		p.put(`<tr><td>%s</td>%s%s%s</tr>`, u.ID, p.count(u.Receipts, ""), p.count(u.Compared, ""), p.count(u.OnlySupabase, "loss"))
	}
	p.put(`</tbody></table></div>`)
}

// question says what each of the audit's problems asks.
func question(problem, table string) string {
	switch problem {
	case "missing":
		return "In " + table + ", not in the outbox"
	case "unnumbered":
		return "In the outbox, passed over by the numbering"
	case "waiting":
		return "Not taken by Pusher after a minute"
	case "holes":
		return "Numbered, then deleted by hand"
	case "parked":
		return "Parked: fetched by clients, never pushed"
	case "unroutable":
		return "Written without a room, not relayed"
	}
	return problem
}

func (p page) audit() {
	p.put(`<h2>Audit</h2><p>Asked of the database alone, whatever pages say: the tables against the outbox, the outbox against what Pusher accepted.</p>`)
	if p.Audit == nil {
		p.put(`<p class="none">The audit did not end in time.</p>`)
		return
	}
	p.put(`<div class="wide"><table class="findings"><thead><tr><th>question</th><th>rows</th><th></th></tr></thead><tbody>`)
	for _, f := range p.Audit {
		cell := raw(`<td class="loss">?</td>`)
		if f.Count != nil {
			cell = p.count(*f.Count, "loss")
		}
		p.put(`<tr><td>%s</td>%s<td class="left">%s</td></tr>`, question(f.Problem, f.Table), cell, remedy(f))
	}
	p.put(`</tbody></table></div>`)
	if p.Repaired > 0 {
		p.put(`<p class="legend">%s rows were enqueued again by the audit in these days.</p>`, number(p.Repaired))
	}
}

func (p page) foot() {
	p.put(`<footer><p>A message counts as lost by a side that has not brought it half a minute after the other did. Edits, deletions and members are not compared: one side may be silent about them by design. What Pusher lost in a cut and the client fetched over HTTP counts as brought, and not into the delays. ` +
		`Supabase Realtime cannot be asked for what it lost.</p>`)
	p.put(`<p>Delays are by the pages’ clocks: %s of %s receipts came from clocks more than two seconds off, and their delays are left out. Receipts are the word of members for rooms they may read.</p>`,
		number(p.Skewed), number(p.Receipts))
	p.put(`<p>The gate’s limits can be set in the address: <code>?hours=24&amp;min_messages=200&amp;p95_factor=1.5</code>. The same as <code>?format=json</code> and <code>?format=text</code>.</p></footer></main></body></html>`)
}
