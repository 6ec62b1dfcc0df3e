package token_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
)

// FuzzVerify looks for a token that is accepted without bearing the secret's
// signature, computed here by other means, and for a panic.
func FuzzVerify(f *testing.F) {
	claims := marshal(f, tokentest.Claims(project, user, start))
	f.Add(seal(`{"alg":"HS256","typ":"JWT"}`, claims))
	f.Add(seal(`{"alg":"HS256","kid":"x"}`, strings.Replace(claims, `"role"`, `"Role"`, 1)))
	f.Add(seal(`{"alg":"HS256"}`, `null`))
	f.Add(b64(`{"alg":"none"}`) + "." + b64(claims) + ".")
	f.Add(b64(`{"alg":"RS256","kid":"x"}`) + "." + b64(claims) + ".AAAA")
	c := &clock{now: start}
	v := must(token.New(token.Config{JWTSecret: secret, Clock: c.Now}))(f)

	f.Fuzz(func(t *testing.T, compact string) {
		got, err := v.Verify(t.Context(), compact)
		if err != nil {
			if token.Reason(err) == "" {
				t.Fatalf("error without a sentinel: %v", err)
			}
			return
		}
		at := strings.LastIndexByte(compact, '.')
		signature, err := base64.RawURLEncoding.DecodeString(compact[at+1:])
		if err != nil || !bytes.Equal(signature, mac(compact[:at])) {
			t.Fatalf("accepted without the signature: %q", compact)
		}
		if !json.Valid(got.Raw) || !got.Expires.After(start) || got.Role != "authenticated" {
			t.Fatalf("accepted with %+v", got)
		}
	})
}

// FuzzClaims does the same behind a good signature: whatever the payload, what
// is accepted is a user, and reads the same to any exact reader of the JSON.
func FuzzClaims(f *testing.F) {
	f.Add(marshal(f, tokentest.Claims(project, user, start)))
	f.Add(`{"exp":1e99,"role":"authenticated","aud":["authenticated"],"sub":"` + user + `"}`)
	f.Add(`{"exp":1.8e9,"role":"authenticated","aud":"authenticated","sub":"` + user + `","is_anonymous":null}`)
	c := &clock{now: start}
	v := must(token.New(token.Config{JWTSecret: secret, Clock: c.Now}))(f)

	f.Fuzz(func(t *testing.T, payload string) {
		got, err := v.Verify(t.Context(), seal(`{"alg":"HS256"}`, payload))
		if err != nil {
			return
		}
		var exact map[string]any
		if err := json.Unmarshal(got.Raw, &exact); err != nil {
			t.Fatal(err)
		}
		if exact["sub"] != got.UserID || len(got.UserID) != 36 || exact["role"] != "authenticated" || exact["is_anonymous"] == true {
			t.Fatalf("accepted with %+v", got)
		}
	})
}
