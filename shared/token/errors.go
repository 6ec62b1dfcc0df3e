package token

import "errors"

// One sentinel per reason a caller can act on. Every error Verify returns
// matches exactly one of them with errors.Is. They are the caller's fault (401),
// except ErrKeysUnavailable, which is ours (503).
var (
	ErrMissing   = errors.New("token missing")
	ErrMalformed = errors.New("token malformed")
	ErrAlgorithm = errors.New("token algorithm not accepted")
	// ErrUnknownKey: the key set answered, and holds no such key.
	ErrUnknownKey = errors.New("token key unknown")
	ErrSignature  = errors.New("token signature invalid")
	ErrExpired    = errors.New("token expired")
	ErrNotYet     = errors.New("token not valid yet")
	// ErrRole is what a project's anon or service_role key gets: neither is a user.
	ErrRole      = errors.New("token role not accepted")
	ErrAudience  = errors.New("token audience not accepted")
	ErrIssuer    = errors.New("token issuer not accepted")
	ErrSubject   = errors.New("token subject is not a user id")
	ErrAnonymous = errors.New("anonymous users not allowed")

	// ErrKeysUnavailable: the key set could not be asked, and no key at hand
	// decides. Nothing is known about the token; come back after RetryAfter.
	ErrKeysUnavailable = errors.New("key set unavailable")
)

// Reason returns the text of the sentinel err matches, which is fit to be shown
// to the bearer and to label a metric: a fixed vocabulary, no part of a token.
// For any other error it returns "".
func Reason(err error) string {
	for _, sentinel := range []error{
		ErrMissing, ErrMalformed, ErrAlgorithm, ErrUnknownKey, ErrSignature,
		ErrExpired, ErrNotYet, ErrRole, ErrAudience, ErrIssuer, ErrSubject,
		ErrAnonymous, ErrKeysUnavailable,
	} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return ""
}
