package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

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

// claim is one member of the claims object, as JSON; empty where it is absent.
type claim []byte

// payload is the claims that are read, by their exact names: encoding/json would also take
// "Role" for "role", and jsonb, which the same bytes go to, does not. Of two with one name
// the last counts, as in jsonb.
type payload struct {
	expires, notBefore, role, audience, issuer, subject, session, email, anonymous claim
}

// newPayload finds the claims in an object as it was signed.
func newPayload(object []byte) (p payload, ok bool) {
	// jsonb would refuse what is not UTF-8 later.
	if !bytes.HasPrefix(object, []byte{'{'}) || !utf8.Valid(object) || !json.Valid(object) {
		return payload{}, false
	}
	eachMember(object, func(name, value []byte) {
		switch string(name) {
		case "exp":
			p.expires = value
		case "nbf":
			p.notBefore = value
		case "role":
			p.role = value
		case "aud":
			p.audience = value
		case "iss":
			p.issuer = value
		case "sub":
			p.subject = value
		case "session_id":
			p.session = value
		case "email":
			p.email = value
		case "is_anonymous":
			p.anonymous = value
		}
	})
	return p, true
}

// claims checks one claim after the other and returns what they say. The order
// is that of the mistakes people make: an old session first, then the anon key
// where a user's token belongs, then another project's token.
func (v *Verifier) claims(object []byte) (Claims, error) {
	c := Claims{Raw: bytes.Trim(object, " \t\r\n")} // what JSON takes for space
	p, ok := newPayload(c.Raw)
	if !ok {
		return Claims{}, ErrMalformed
	}
	var err error
	if c.Expires, err = v.lifetime(p); err != nil {
		return Claims{}, err
	}
	if c.Role, err = p.role.text(); err != nil || c.Role != roleUser {
		return Claims{}, ErrRole
	}
	if !p.audience.lists(audienceUser) {
		return Claims{}, ErrAudience
	}
	if v.issuer != "" {
		if iss, err := p.issuer.text(); err != nil || iss != v.issuer {
			return Claims{}, ErrIssuer
		}
	}
	if c.UserID, err = p.subject.text(); err != nil || !event.IsUUID(c.UserID) {
		return Claims{}, ErrSubject
	}
	if err := c.optional(p); err != nil {
		return Claims{}, ErrMalformed
	}
	if c.Anonymous && !v.anonymous {
		return Claims{}, ErrAnonymous
	}
	return c, nil
}

// lifetime checks exp and, where there is one, nbf. iat is left alone: on a
// machine whose clock is late every fresh token seems to come from the future.
func (v *Verifier) lifetime(p payload) (time.Time, error) {
	now := v.clock()
	expires, err := p.expires.time()
	if err != nil {
		return time.Time{}, ErrMalformed
	}
	if !now.Before(expires.Add(v.leeway)) {
		return time.Time{}, ErrExpired
	}
	if p.notBefore.given() {
		from, err := p.notBefore.time()
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
func (c *Claims) optional(p payload) (err error) {
	if p.session.given() {
		if c.SessionID, err = p.session.text(); err != nil {
			return err
		}
	}
	if p.email.given() {
		if c.Email, err = p.email.text(); err != nil {
			return err
		}
	}
	if p.anonymous.given() {
		return json.Unmarshal(p.anonymous, &c.Anonymous)
	}
	return nil
}

// given reports whether a claim is there and not null.
func (c claim) given() bool { return len(c) > 0 && string(c) != "null" }

func (c claim) text() (string, error) {
	if len(c) == 0 || c[0] != '"' {
		return "", errClaim
	}
	if bytes.IndexByte(c, '\\') < 0 {
		return string(c[1 : len(c)-1]), nil
	}
	var s string
	if err := json.Unmarshal(c, &s); err != nil {
		return "", errClaim
	}
	return s, nil
}

// time reads a NumericDate (RFC 7519, section 2): seconds since 1970, perhaps
// with a fraction, which is dropped.
func (c claim) time() (time.Time, error) {
	if len(c) == 0 || c[0] == '"' { // no other value but a number parses, either
		return time.Time{}, errClaim
	}
	f, err := strconv.ParseFloat(string(c), 64)
	if err != nil || f < 0 || f > maxUnix {
		return time.Time{}, errClaim
	}
	return time.Unix(int64(f), 0), nil
}

// lists reports whether a claim is want, or a list of texts that has it.
func (c claim) lists(want string) bool {
	if one, err := c.text(); err == nil {
		return one == want
	}
	var list []string
	return json.Unmarshal(c, &list) == nil && slices.Contains(list, want)
}
