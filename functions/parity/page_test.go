package parity_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
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
	if strings.Contains(body, "NaN") || strings.Contains(body, "Inf") || !strings.Contains(body, "Not yet") || !strings.Contains(body, "not measured on both sides") {
		t.Error(body[strings.Index(body, "</style>"):])
	}
}
