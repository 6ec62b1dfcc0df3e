package event

import (
	"strings"
	"testing"
)

func TestChannelAlphabet(t *testing.T) {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=@,.;"
	for b := range 256 {
		s := "a" + string([]byte{byte(b)})
		if want := strings.IndexByte(alphabet, byte(b)) >= 0; InChannelAlphabet(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
	for name, want := range map[string]bool{"": false, "a": true, strings.Repeat("a", 164): true, strings.Repeat("a", 165): false, "a b": false} {
		if IsChannelName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
