package token

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// segments is the encoding of a token's parts. Strict decoding leaves exactly one spelling
// for each signature.
var segments = base64.RawURLEncoding.Strict()

// parts are a token's, encoded as they came.
type parts struct{ header, claims, signature, signed string }

// split takes a compact token apart; false if it has not three parts.
func split(compact string) (p parts, ok bool) {
	first, last := strings.IndexByte(compact, '.'), strings.LastIndexByte(compact, '.')
	if first == last || strings.Count(compact, ".") != 2 {
		return parts{}, false
	}
	return parts{compact[:first], compact[first+1 : last], compact[last+1:], compact[:last]}, true
}

// header is what a token's header says about its key.
type header struct {
	encoded  string
	alg, kid string // empty where absent, or no text
	critical bool   // names extensions
}

// header takes a token's header apart, unless it is that of the last good token: all those of
// a project are alike.
func (v *Verifier) header(encoded string) (*header, error) {
	if last := v.lastHeader.Load(); last != nil && last.encoded == encoded {
		return last, nil
	}
	text, err := segments.DecodeString(encoded)
	if err != nil {
		return nil, ErrMalformed
	}
	// By exact names: into a struct, encoding/json would also take "ALG" for "alg".
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return nil, ErrMalformed
	}
	h := &header{encoded: strings.Clone(encoded)} // not all of the token
	h.alg, _ = fields["alg"].(string)
	h.kid, _ = fields["kid"].(string)
	_, h.critical = fields["crit"]
	return h, nil
}
