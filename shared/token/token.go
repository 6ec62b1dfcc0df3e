// Package token turns the access token of a Supabase user into claims.
//
// A project signs with one of two systems, and during a migration with both:
//
//   - signing keys: ES256 or RS256 (EdDSA is accepted if the set has such a
//     key), the key named by kid and published in a key set (JWKS);
//   - the legacy secret: HS256. It is in no key set, and the kid that some
//     tokens carry beside it means nothing (Supabase Auth ignores it too).
//
// The algorithm belongs to the key, never to the token: the header only says
// which key to try, so a token cannot have a public key used as an HMAC secret.
//
// Nothing is fetched until a token asks for a key, and nothing but such a fetch outlives
// the call that began it, by four seconds at most: a Verifier at rest costs nothing.
package token

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"
)

// maxLength bounds a token in bytes. Supabase's are 1 to 2 kB; what grows them
// is user_metadata, which the user writes.
const maxLength = 16 << 10

// maxHeader bounds a token's header in bytes, encoded. Supabase's have about 100; it is taken
// apart for who has shown nothing yet.
const maxHeader = 1 << 10

// Claims is what a verified token says about its bearer.
type Claims struct {
	UserID    string // sub: a uuid in canonical, lower-case form
	Role      string // always "authenticated"
	SessionID string // may be empty
	Email     string // may be empty; personal, so keep it out of logs
	Anonymous bool   // signed in without credentials
	Expires   time.Time

	// Raw is the whole claims object, byte for byte as it was signed: what
	// roomcast.can_read judges by. It is shared: nobody may change it.
	Raw json.RawMessage
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	issuer    string // "" means unchecked
	secret    []byte
	anonymous bool
	leeway    time.Duration
	clock     func() time.Time
	keys      *keySet // nil without a SupabaseURL
	memo      *memo
	flights   singleflight.Group // tokens being verified, by fingerprint

	lastHeader atomic.Pointer[header] // of the last good token
}

// Verify returns the claims of a token in compact form, or an error matching
// one of the sentinels of this package. It may fetch the key set, for a few
// seconds at most.
func (v *Verifier) Verify(ctx context.Context, token string) (Claims, error) {
	if token == "" {
		return Claims{}, ErrMissing
	}
	if len(token) > maxLength || !compact(token) || strings.IndexByte(token, '.') > maxHeader {
		return Claims{}, ErrMalformed
	}
	mark, now := fingerprint(sha256.Sum256([]byte(token))), v.clock().Round(0)
	if c, ok := v.memo.get(mark, now); ok && now.Before(c.Expires.Add(v.leeway)) {
		return c, nil
	}
	// A browser asks for all its rooms at the same moment: those behind the first one
	// wait for its answer, which is theirs as well.
	c, err, shared := v.flights.Do(string(mark[:]), func() (any, error) {
		c, err := v.verify(ctx, token)
		if err == nil && len(token) <= memoLen {
			v.memo.put(mark, c, now)
		}
		return c, err
	})
	if shared && errors.Is(err, ErrKeysUnavailable) { // perhaps only to the first one, who hung up
		return v.verify(ctx, token)
	}
	return c.(Claims), err
}

// verify is Verify without what is remembered.
func (v *Verifier) verify(ctx context.Context, token string) (Claims, error) {
	p, ok := split(token)
	if !ok {
		return Claims{}, ErrMalformed
	}
	h, err := v.header(p.header)
	if err != nil {
		return Claims{}, err
	}
	signature, err := segments.DecodeString(p.signature)
	if err != nil {
		return Claims{}, ErrMalformed
	}
	method, key, err := v.key(ctx, h)
	if err != nil {
		return Claims{}, err
	}
	if method.Verify(p.signed, signature, key) != nil {
		return Claims{}, ErrSignature
	}
	// What the claims say is read behind the signature: a thousand small ones take a hundred
	// kilobytes, and a token may wait for its key.
	text, err := segments.DecodeString(p.claims)
	if err != nil {
		return Claims{}, ErrMalformed
	}
	c, err := v.claims(text)
	if err == nil {
		v.lastHeader.Store(h)
	}
	return c, err
}

// Check fetches the key set now, whatever is cached, and says whether a user's
// token could be verified with what is configured. It is meant for a doctor.
func (v *Verifier) Check(ctx context.Context) error {
	if v.keys == nil {
		return nil
	}
	n, err := v.keys.check(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
	}
	if n == 0 && len(v.secret) == 0 {
		// What a project that still signs with the legacy secret publishes.
		return fmt.Errorf("%w: the set is empty and there is no JWT secret", ErrKeysUnavailable)
	}
	return nil
}

// key picks the key a header asks for and holds it to the key's own algorithm.
func (v *Verifier) key(ctx context.Context, h *header) (jwt.SigningMethod, any, error) {
	if h.critical { // RFC 7515, section 4.1.11: extensions we do not know must not be ignored
		return nil, nil, ErrMalformed
	}
	var method jwt.SigningMethod
	switch h.alg {
	case "HS256":
		if len(v.secret) == 0 {
			return nil, nil, ErrAlgorithm
		}
		return jwt.SigningMethodHS256, v.secret, nil
	case "ES256":
		method = jwt.SigningMethodES256
	case "RS256":
		method = jwt.SigningMethodRS256
	case "EdDSA":
		method = jwt.SigningMethodEdDSA
	}
	if method == nil || v.keys == nil {
		return nil, nil, ErrAlgorithm
	}
	if h.kid == "" {
		return nil, nil, ErrUnknownKey
	}
	k, err := v.keys.lookup(ctx, h.kid)
	if err != nil {
		return nil, nil, err
	}
	if k.alg != h.alg {
		return nil, nil, ErrAlgorithm
	}
	return method, k.public, nil
}

// compact reports whether s holds only what a compact JWS is made of. The
// decoder of base64 would skip line breaks.
func compact(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
