package parity

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The page is the text for a terminal under a heading: it is read for two weeks. It is
// written by hand and not by html/template, which calls methods by name: a linker that
// cannot know which must keep them all, 2.3 MB (measured) of a binary that is to stay
// under 14.

const sheet = `:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}` +
	`h1{border-left:.4rem solid;padding-left:.8rem}.yes{border-color:#1a7f64}.no{border-color:#b3413a}pre{overflow-x:auto}`

// sheetHash names the sheet in a Content-Security-Policy.
func sheetHash() string {
	sum := sha256.Sum256([]byte(sheet))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// readable is a report that can be read by people.
type readable interface {
	Title() (text string, good bool)
	WriteText(to io.Writer) error
}

func writePage(to *bytes.Buffer, r readable) error {
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		return err
	}
	title, good := r.Title()
	class := "no"
	if good {
		class = "yes"
	}
	fmt.Fprintf(to, `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">`+
		`<title>%[1]s: Roomcast</title><style>%[2]s</style></head><body><main><h1 class="%[3]s">%[1]s</h1><pre>%[4]s</pre>`+
		`<p>Also as <code>?format=json</code> and <code>?format=text</code>. <code>?report=parity</code> compares Supabase Realtime with Pusher, <code>?report=delivery</code> tells how messages reach pages now.</p></main></body></html>`,
		html.EscapeString(title), sheet, class, html.EscapeString(text.String()))
	return nil
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
