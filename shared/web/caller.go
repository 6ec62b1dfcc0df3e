package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// Bearer gives the token of "Authorization: Bearer <token>". It is false unless
// there is exactly one such header, so that two layers cannot read two different
// credentials out of one request.
func Bearer(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	// The scheme's case does not matter (RFC 9110, 11.1); a token holds no blanks (RFC 6750, 2.1).
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " \t") {
		return "", false
	}
	return token, true
}

// SecretIn reports whether candidate is one of accepted (several are, while a
// secret is being rotated). The time taken tells neither which one matched, nor
// how far a guess was right, nor the length of a secret: the hashes have equal
// lengths and all are compared. An empty string is never a secret, so a missing
// setting opens nothing.
func SecretIn(candidate string, accepted []string) bool {
	got := sha256.Sum256([]byte(candidate))
	match := 0
	for _, secret := range accepted {
		want := sha256.Sum256([]byte(secret))
		equal := subtle.ConstantTimeCompare(got[:], want[:])
		if secret == "" {
			equal = 0
		}
		match |= equal
	}
	return match == 1
}
