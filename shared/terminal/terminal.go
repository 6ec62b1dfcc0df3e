// Package terminal makes text that chat users wrote harmless to print: room ids, row
// ids, names and errors may hold escape sequences that a terminal would obey, marks
// that reverse the order of what follows, or line breaks that forge a line of ours.
package terminal

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean returns text with everything that does not simply show itself written as an
// escape: controls as \x1b, bidirectional and other format marks as \u202e. What joins
// letters and emoji stays.
func Clean(text string) string {
	return clean(text, func(r rune) string { return strings.Trim(strconv.QuoteRuneToASCII(r), "'") })
}

// OneLine returns text with each run of white space, line breaks included, as one space.
func OneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// CleanJSON is Clean for encoded JSON, whose escapes it uses. Encoders leave alone what
// is legal inside a string: C1 controls (U+009B begins an escape sequence, ECMA-48) and
// the format marks.
func CleanJSON(text string) string {
	return clean(text, func(r rune) string {
		if r == '\n' {
			return "\n" // between documents: inside a string it is escaped already
		}
		escape := strconv.QuoteRuneToASCII(r)
		if r > 0xffff || r < 0x100 {
			return jsonEscape(r)
		}
		return strings.Trim(escape, "'")
	})
}

func jsonEscape(r rune) string {
	const hex = "0123456789abcdef"
	unit := func(u rune) string {
		return `\u` + string([]byte{hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15]})
	}
	if r <= 0xffff {
		return unit(r)
	}
	r -= 0x10000 // as UTF-16 has it (RFC 8259, section 7)
	return unit(0xd800+r>>10) + unit(0xdc00+r&0x3ff)
}

func clean(text string, escape func(rune) string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, acts) {
		return text
	}
	var out strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			out.WriteString("\ufffd")
		case acts(r):
			out.WriteString(escape(r))
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// acts reports whether a character does something other than show itself.
func acts(r rune) bool {
	switch r {
	case '\u200c', '\u200d': // join and part letters, and make one emoji of several
		return false
	case '\u2028', '\u2029': // line and paragraph separator
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}
