package terminal

import (
	"encoding/json"
	"testing"
)

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"room-1 é 👩‍👩‍👧 日本":  "room-1 é 👩‍👩‍👧 日本",
		"\x1b]0;owned\a":     `\x1b]0;owned\a`,
		"a\r\nok   all good": `a\r\nok   all good`,
		"\u202egnp.exe":      `\u202egnp.exe`,
		"\u0085\u009b31m":    `\u0085\u009b31m`,
		"\u2028":             `\u2028`,
		"bad \xff byte":      "bad \ufffd byte",
		"\U000e0041":         `\U000e0041`,
	} {
		if got := Clean(text); got != want {
			t.Errorf("%q is printed as %q, want %q", text, got, want)
		}
	}
}

// JSON stays the same document, without a byte that acts.
func TestCleanJSON(t *testing.T) {
	const text = "\x1b[31m \u009b31m \u202e \u2028 \U000e0041 \n é 👩‍👩‍👧"
	raw, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	clean := CleanJSON(string(raw))
	var back string
	if err := json.Unmarshal([]byte(clean), &back); err != nil || back != text {
		t.Errorf("%s means %q (%v), want %q", clean, back, err, text)
	}
	if Clean(clean) != clean {
		t.Errorf("%q still acts", clean)
	}
}
