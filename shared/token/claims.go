package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"roomcast/shared/event"
)

// What Supabase Auth puts into the tokens of its users, anonymous ones included.
const (
	roleUser     = "authenticated"
	audienceUser = "authenticated"
)

// maxUnix is the last second of the year 9999: beyond it a time has no
// RFC 3339 form, and a float no seconds.
const maxUnix = 253402300799

// errClaim marks a claim that is absent or of the wrong type. It stays inside
// the package; each caller knows the sentinel it amounts to.
var errClaim = errors.New("claim absent or of the wrong type")

// payload is the claims object as signed, and its members by their exact names.
// A struct would not do: encoding/json also takes "Role" for "role", and jsonb,
// which the same bytes go to, does not.
type payload struct {
	raw    json.RawMessage
	fields map[string]json.RawMessage
}

// UnmarshalJSON keeps a copy of the object. What is not an object is an error. Its members
// wait for the signature: a thousand small ones take a hundred kilobytes, and a token may wait
// for its key.
func (p *payload) UnmarshalJSON(b []byte) error {
	if !utf8.Valid(b) {
		return errors.New("not UTF-8") // jsonb would refuse it later
	}
	if !bytes.HasPrefix(b, []byte{'{'}) {
		return errors.New("not an object")
	}
	p.raw = bytes.Clone(b)
	return nil
}

// claims checks one claim after the other and returns what they say. The order
// is that of the mistakes people make: an old session first, then the anon key
// where a user's token belongs, then another project's token.
func (v *Verifier) claims(p *payload) (Claims, error) {
	if json.Unmarshal(p.raw, &p.fields) != nil { // the payload is null
		return Claims{}, ErrMalformed
	}
	c := Claims{Raw: p.raw}
	var err error
	if c.Expires, err = v.lifetime(p); err != nil {
		return Claims{}, err
	}
	if c.Role, err = p.text("role"); err != nil || c.Role != roleUser {
		return Claims{}, ErrRole
	}
	if !p.audience(audienceUser) {
		return Claims{}, ErrAudience
	}
	if v.issuer != "" {
		if iss, err := p.text("iss"); err != nil || iss != v.issuer {
			return Claims{}, ErrIssuer
		}
	}
	if c.UserID, err = p.text("sub"); err != nil || !event.IsUUID(c.UserID) {
		return Claims{}, ErrSubject
	}
	if err := p.optional(&c); err != nil {
		return Claims{}, ErrMalformed
	}
	if c.Anonymous && !v.anonymous {
		return Claims{}, ErrAnonymous
	}
	return c, nil
}

// lifetime checks exp and, where there is one, nbf. iat is left alone: on a
// machine whose clock is late every fresh token seems to come from the future.
func (v *Verifier) lifetime(p *payload) (time.Time, error) {
	now := v.clock()
	expires, err := p.time("exp")
	if err != nil {
		return time.Time{}, ErrMalformed
	}
	if !now.Before(expires.Add(v.leeway)) {
		return time.Time{}, ErrExpired
	}
	if p.has("nbf") {
		from, err := p.time("nbf")
		if err != nil {
			return time.Time{}, ErrMalformed
		}
		if now.Add(v.leeway).Before(from) {
			return time.Time{}, ErrNotYet
		}
	}
	return expires, nil
}

// optional reads the claims that may be absent, but not of another type.
func (p *payload) optional(c *Claims) (err error) {
	if p.has("session_id") {
		if c.SessionID, err = p.text("session_id"); err != nil {
			return err
		}
	}
	if p.has("email") {
		if c.Email, err = p.text("email"); err != nil {
			return err
		}
	}
	if p.has("is_anonymous") {
		return json.Unmarshal(p.fields["is_anonymous"], &c.Anonymous)
	}
	return nil
}

// has reports whether a claim is there and not null.
func (p *payload) has(name string) bool {
	raw, ok := p.fields[name]
	return ok && string(raw) != "null"
}

func (p *payload) text(name string) (string, error) {
	if !p.has(name) {
		return "", errClaim
	}
	var s string
	if err := json.Unmarshal(p.fields[name], &s); err != nil {
		return "", errClaim
	}
	return s, nil
}

// time reads a NumericDate (RFC 7519, section 2): seconds since 1970, perhaps
// with a fraction, which is dropped.
func (p *payload) time(name string) (time.Time, error) {
	if !p.has(name) {
		return time.Time{}, errClaim
	}
	var f float64
	if err := json.Unmarshal(p.fields[name], &f); err != nil || f < 0 || f > maxUnix {
		return time.Time{}, errClaim
	}
	return time.Unix(int64(f), 0), nil
}

// audience reports whether aud is want, or a list that has it.
func (p *payload) audience(want string) bool {
	var list []string
	if json.Unmarshal(p.fields["aud"], &list) == nil {
		return slices.Contains(list, want)
	}
	one, err := p.text("aud")
	return err == nil && one == want
}

// The parser wants its Claims interface; with validation switched off it never
// calls these.
var _ jwt.Claims = (*payload)(nil)

func (*payload) GetExpirationTime() (*jwt.NumericDate, error) { return nil, errClaim }
func (*payload) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, errClaim }
func (*payload) GetNotBefore() (*jwt.NumericDate, error)      { return nil, errClaim }
func (*payload) GetIssuer() (string, error)                   { return "", errClaim }
func (*payload) GetSubject() (string, error)                  { return "", errClaim }
func (*payload) GetAudience() (jwt.ClaimStrings, error)       { return nil, errClaim }
