package outbox

import (
	"strings"
	"testing"
)

// FuzzParseURL: whatever stands in a password, as an operator pastes it, no part of it
// stands in the error.
func FuzzParseURL(f *testing.F) {
	for _, middle := range []string{"", "#", "/", "?", "@", ":", "%", "%zz", "`", "\\", " ", "]", "[", "\"", "'", "&sslmode=verify-full&"} {
		f.Add(middle)
	}
	const first, last = "zqxj7", "kvw9y"
	f.Fuzz(func(t *testing.T, middle string) {
		for _, form := range []string{"postgres://u:%@db.example:6543/postgres?sslmode=require", "host=db.example user=u password=% dbname=postgres"} {
			_, err := ParseURL(strings.Replace(form, "%", first+middle+last, 1), "")
			if err != nil && (strings.Contains(err.Error(), first) || strings.Contains(err.Error(), last)) {
				t.Errorf("%q: %v", middle, err)
			}
		}
	})
}
