package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"roomcast/shared/terminal"
)

// printer is where a command writes: lines for people, or JSON for machines.
//
// What chat users wrote (room ids, row ids, names) is printed harmless: every line is
// cleaned as a whole. Colours are marks with a nonce until then, so that no text can be
// taken for one.
type printer struct {
	w      io.Writer
	json   bool
	colour bool   // a terminal reads it
	nonce  string // of this run's colour marks
}

// newPrinter writes colours only to a terminal, and not where NO_COLOR is set
// (no-color.org) or the terminal is a dumb one.
func newPrinter(w io.Writer, asJSON bool, environ []string) *printer {
	plain := slices.ContainsFunc(environ, func(pair string) bool {
		return pair == "TERM=dumb" || strings.HasPrefix(pair, "NO_COLOR=") && pair != "NO_COLOR="
	})
	return &printer{w: w, json: asJSON, colour: !asJSON && !plain && isTerminal(w), nonce: rand.Text()}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// line writes one line for people.
func (p *printer) line(format string, args ...any) {
	pieces := strings.Split(fmt.Sprintf(format, args...), p.mark())
	for i, piece := range pieces {
		if i%2 == 1 && p.colour { // a colour's code stands between two marks
			pieces[i] = "\x1b[" + piece + "m"
		} else {
			pieces[i] = terminal.Clean(piece)
		}
	}
	fmt.Fprintln(p.w, strings.Join(pieces, ""))
}

// text writes what another package laid out, line by line.
func (p *printer) text(text string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		p.line("%s", line)
	}
}

func (p *printer) mark() string { return "\x00" + p.nonce + "\x00" }

// field writes one "name  value" line.
func (p *printer) field(name, format string, args ...any) {
	p.line("%s  %s", p.dim(fmt.Sprintf("%-11s", name)), fmt.Sprintf(format, args...))
}

// encode writes one JSON document on a line.
func (p *printer) encode(v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintln(p.w, terminal.CleanJSON(string(text)))
	}
	return err
}

// The colours, by what they say (ECMA-48, Select Graphic Rendition).
func (p *printer) good(s string) string  { return p.paint("32", s) }
func (p *printer) worry(s string) string { return p.paint("33", s) }
func (p *printer) bad(s string) string   { return p.paint("1;31", s) }
func (p *printer) dim(s string) string   { return p.paint("2", s) }
func (p *printer) bold(s string) string  { return p.paint("1", s) }

func (p *printer) paint(code, s string) string {
	if !p.colour {
		return s
	}
	return p.mark() + code + p.mark() + s + p.mark() + "0" + p.mark()
}

// number writes 1234567 as 1,234,567.
func number(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// count writes "1 row", "2 rows".
func count(n int64, thing string) string { return plural(n, thing, thing+"s") }

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// span writes a duration as people read it: 850 ms, 4.2 s, 3 min 20 s, 5 h 7 min.
func span(d time.Duration) string {
	switch d = d.Abs(); {
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// size writes bytes as people read them.
func size(bytes int64) string {
	switch {
	case bytes < 10_000:
		return number(bytes) + " bytes"
	case bytes < 10_000_000:
		return number(bytes/1000) + " kB"
	}
	return number(bytes/1_000_000) + " MB"
}
