package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
)

func TestVerifyAcceptsEverySystem(t *testing.T) {
	h := newFixture(t)
	for name, signer := range map[string]tokentest.Signer{
		"ES256": h.es256, "RS256": h.rs256, "EdDSA": h.eddsa, "HS256": h.legacy,
		"HS256 with a kid": h.legacy.WithKID("Xb4q"), // github.com/supabase/auth/pull/2072
	} {
		t.Run(name, func(t *testing.T) {
			compact := sign(t, signer, h.claims())
			got, err := h.verifier.Verify(t.Context(), compact)
			if err != nil {
				t.Fatal(err)
			}
			want := token.Claims{
				UserID: user, Role: "authenticated", Email: "8b9f3c0a@example.com",
				SessionID: "5e55107d-0000-4000-8000-000000000001",
				Expires:   start.Add(time.Hour).Local(),
				Raw:       []byte(part(t, compact, 1)),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if n := h.server.Requests(); n != 1 {
		t.Errorf("key set fetched %d times, want 1", n)
	}
}

func TestVerifyClaims(t *testing.T) {
	hour := start.Add(time.Hour)
	tests := []struct {
		name string
		edit func(map[string]any)
		want error // nil: accepted
	}{
		{"as minted", set("iat", start.Unix()), nil},

		{"exp absent", without("exp"), token.ErrMalformed},
		{"exp null", set("exp", nil), token.ErrMalformed},
		{"exp text", set("exp", "tomorrow"), token.ErrMalformed},
		{"exp digits in text", set("exp", "1795384800"), token.ErrMalformed},
		{"exp negative", set("exp", -1), token.ErrMalformed},
		{"exp beyond all time", set("exp", 1e300), token.ErrMalformed},
		{"exp with a fraction", set("exp", float64(hour.Unix())+.5), nil},
		{"exp zero", set("exp", 0), token.ErrExpired},
		{"expired within leeway", set("exp", start.Add(-29*time.Second).Unix()), nil},
		{"expired by the leeway", set("exp", start.Add(-30*time.Second).Unix()), token.ErrExpired},
		{"expired long ago", set("exp", start.Add(-24*time.Hour).Unix()), token.ErrExpired},
		{"nbf within leeway", set("nbf", start.Add(30*time.Second).Unix()), nil},
		{"nbf ahead", set("nbf", start.Add(31*time.Second).Unix()), token.ErrNotYet},
		{"nbf text", set("nbf", "now"), token.ErrMalformed},
		{"iat ahead, our clock is late", set("iat", hour.Unix()), nil},

		{"role absent", without("role"), token.ErrRole},
		{"role anon", set("role", "anon"), token.ErrRole},
		{"role service_role", set("role", "service_role"), token.ErrRole},
		{"role list", set("role", []string{"authenticated"}), token.ErrRole},
		{"role in other letters", set("role", "Authenticated"), token.ErrRole},
		{"role under another name", func(c map[string]any) { delete(c, "role"); c["Role"] = "authenticated" }, token.ErrRole},
		{"role beside another name", set("ROLE", "service_role"), nil},

		{"aud absent", without("aud"), token.ErrAudience},
		{"aud other", set("aud", "anon"), token.ErrAudience},
		{"aud list with it", set("aud", []string{"x", "authenticated"}), nil},
		{"aud list without it", set("aud", []string{"x", "y"}), token.ErrAudience},
		{"aud empty list", set("aud", []string{}), token.ErrAudience},
		{"aud mixed list", set("aud", []any{"authenticated", 1}), token.ErrAudience},
		{"aud object", set("aud", map[string]any{"authenticated": true}), token.ErrAudience},

		{"iss absent", without("iss"), token.ErrIssuer},
		{"iss another project", set("iss", project+"/auth/v1"), token.ErrIssuer},
		{"iss number", set("iss", 1), token.ErrIssuer},

		{"sub absent", without("sub"), token.ErrSubject},
		{"sub empty", set("sub", ""), token.ErrSubject},
		{"sub no uuid", set("sub", "admin"), token.ErrSubject},
		{"sub number", set("sub", 12345), token.ErrSubject},
		{"sub in upper case", set("sub", strings.ToUpper(user)), token.ErrSubject},
		{"sub in braces", set("sub", "{"+user+"}"), token.ErrSubject},
		{"sub without hyphens", set("sub", strings.ReplaceAll(user, "-", "")), token.ErrSubject},
		{"sub with a line break", set("sub", user[:35]+"\n"), token.ErrSubject},
		{"sub with a fullwidth digit", set("sub", "\uff18"+user[3:]), token.ErrSubject},
		{"sub with a hyphen astray", set("sub", user[:7]+"-"+user[8:]), token.ErrSubject},

		{"anonymous", set("is_anonymous", true), token.ErrAnonymous},
		{"is_anonymous absent", without("is_anonymous"), nil},
		{"is_anonymous null", set("is_anonymous", nil), nil},
		{"is_anonymous text", set("is_anonymous", "false"), token.ErrMalformed},
		{"email absent", without("email"), nil},
		{"email object", set("email", map[string]any{}), token.ErrMalformed},
		{"session absent", without("session_id"), nil},
		{"session number", set("session_id", 1), token.ErrMalformed},
	}
	h := newFixture(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := h.verifier.Verify(t.Context(), sign(t, h.es256, h.claims(tt.edit)))
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestVerifyForm(t *testing.T) {
	h := newFixture(t)
	good := sign(t, h.legacy, h.claims())
	parts := strings.Split(good, ".")
	header, body, signature := parts[0], parts[1], parts[2]
	es := strings.Split(sign(t, h.es256, h.claims()), ".")
	tests := []struct {
		name, token string
		want        error
	}{
		{"empty", "", token.ErrMissing},
		{"one word", "null", token.ErrMalformed},
		{"publishable key", "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH", token.ErrMalformed},
		{"two parts", header + "." + body, token.ErrMalformed},
		{"four parts", good + ".x", token.ErrMalformed},
		{"only dots", "..", token.ErrMalformed},
		{"encrypted, five parts", "a.b.c.d.e", token.ErrMalformed},
		{"too long", header + "." + strings.Repeat("A", 16<<10) + "." + signature, token.ErrMalformed},
		{"space before", " " + good, token.ErrMalformed},
		{"line break in the signature", good[:len(good)-4] + "\n" + good[len(good)-4:], token.ErrMalformed},
		{"padded", good + "=", token.ErrMalformed},
		{"standard base64", header + "." + body + ".+/" + signature[2:], token.ErrMalformed},
		{"not UTF-8", good + "\xff", token.ErrMalformed},
		{"NUL", good + "\x00", token.ErrMalformed},
		{"header not JSON", b64("{") + "." + body + "." + signature, token.ErrMalformed},
		{"header a list", b64("[]") + "." + body + "." + signature, token.ErrMalformed},
		{"header null", b64("null") + "." + body + "." + signature, token.ErrAlgorithm},
		{"header deep", b64(strings.Repeat("[", 11000)) + "." + body + "." + signature, token.ErrMalformed},
		{"payload not JSON", seal(`{"alg":"HS256"}`, `{"sub":`), token.ErrMalformed},
		{"payload null", seal(`{"alg":"HS256"}`, `null`), token.ErrMalformed},
		{"payload a list", seal(`{"alg":"HS256"}`, `[]`), token.ErrMalformed},
		{"payload text", seal(`{"alg":"HS256"}`, `"x"`), token.ErrMalformed},
		{"payload not UTF-8", seal(`{"alg":"HS256"}`, "{\"exp\":\"\xff\"}"), token.ErrMalformed},
		{"payload and more", seal(`{"alg":"HS256"}`, `{}{}`), token.ErrMalformed},

		{"critical extension", seal(`{"alg":"HS256","crit":["b64"],"b64":false}`, part(t, good, 1)), token.ErrMalformed},
		{"alg absent", seal(`{"typ":"JWT"}`, part(t, good, 1)), token.ErrAlgorithm},
		{"alg number", seal(`{"alg":256}`, part(t, good, 1)), token.ErrAlgorithm},
		{"alg none", b64(`{"alg":"none"}`) + "." + body + ".", token.ErrAlgorithm},
		{"alg None", b64(`{"alg":"None"}`) + "." + body + ".", token.ErrAlgorithm},
		{"alg HS512, which we could", b64(`{"alg":"HS512"}`) + "." + body + "." + signature, token.ErrAlgorithm},
		{"alg PS256, another RSA", b64(`{"alg":"PS256","kid":"rsa-1"}`) + "." + body + "." + signature, token.ErrAlgorithm},
		{"alg ES384", b64(`{"alg":"ES384","kid":"ec-1"}`) + "." + body + "." + signature, token.ErrAlgorithm},
		{"alg under another name", seal(`{"ALG":"HS256"}`, part(t, good, 1)), token.ErrAlgorithm},

		{"kid absent", b64(`{"alg":"ES256"}`) + "." + es[1] + "." + es[2], token.ErrUnknownKey},
		{"kid number", b64(`{"alg":"ES256","kid":1}`) + "." + es[1] + "." + es[2], token.ErrUnknownKey},
		{"kid unknown", sign(t, h.es256.WithKID("../../etc/passwd"), h.claims()), token.ErrUnknownKey},
		{"kid of an RSA key", sign(t, h.es256.WithKID("rsa-1"), h.claims()), token.ErrAlgorithm},
		{"kid of an Ed25519 key", sign(t, h.rs256.WithKID("ed-1"), h.claims()), token.ErrAlgorithm},
		{"another key under a known kid", sign(t, must(tokentest.ES256("ec-1"))(t), h.claims()), token.ErrSignature},
		{"key brought along", seal(`{"alg":"ES256","kid":"mine","jwk":`+string(must(h.eddsa.JWK())(t))+`}`, part(t, good, 1)), token.ErrUnknownKey},

		{"signature of another secret", sign(t, tokentest.HS256(strings.Repeat("x", 32)), h.claims()), token.ErrSignature},
		{"signature empty", header + "." + body + ".", token.ErrSignature},
		{"signature cut", good[:len(good)-3], token.ErrSignature},
		{"signature of ES256 in DER length", es[0] + "." + es[1] + "." + b64(strings.Repeat("0", 70)), token.ErrSignature},
		{"signature all zero", es[0] + "." + es[1] + "." + b64(strings.Repeat("\x00", 64)), token.ErrSignature},
		{"payload exchanged", header + "." + b64(marshal(t, h.claims(set("role", "service_role")))) + "." + signature, token.ErrSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims, err := h.verifier.Verify(t.Context(), tt.token)
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if claims.UserID != "" || claims.Raw != nil {
				t.Errorf("claims beside an error: %+v", claims)
			}
			if got := token.Reason(err); got != tt.want.Error() {
				t.Errorf("reason %q, want %q", got, tt.want)
			}
		})
	}
}

// The classic: the public key is public, so anybody can use it as a secret.
func TestVerifyRefusesPublicKeyAsSecret(t *testing.T) {
	h := newFixture(t)
	for name, signer := range map[string]tokentest.Signer{"ec-1": h.es256, "rsa-1": h.rs256, "ed-1": h.eddsa} {
		der := must(x509.MarshalPKIXPublicKey(signer.Public()))(t)
		jwk := must(signer.JWK())(t)
		for form, guess := range map[string][]byte{
			"DER": der, "JWK": jwk,
			"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		} {
			forged := sign(t, tokentest.HS256(string(guess)).WithKID(name), h.claims())
			if _, err := h.verifier.Verify(t.Context(), forged); !errors.Is(err, token.ErrSignature) {
				t.Errorf("%s as %s: error %v, want %v", name, form, err, token.ErrSignature)
			}
		}
	}
}

func TestVerifyConfigured(t *testing.T) {
	t.Run("no secret, no HS256", func(t *testing.T) {
		h := newFixture(t, func(c *token.Config) { c.JWTSecret = "" })
		for _, s := range []tokentest.Signer{h.legacy, tokentest.HS256("")} {
			if _, err := h.verifier.Verify(t.Context(), sign(t, s, h.claims())); !errors.Is(err, token.ErrAlgorithm) {
				t.Errorf("error %v, want %v", err, token.ErrAlgorithm)
			}
		}
	})
	t.Run("no URL, no key set and any issuer", func(t *testing.T) {
		h := newFixture(t, func(c *token.Config) { c.SupabaseURL = "" })
		if _, err := h.verifier.Verify(t.Context(), sign(t, h.es256, h.claims())); !errors.Is(err, token.ErrAlgorithm) {
			t.Errorf("ES256: error %v, want %v", err, token.ErrAlgorithm)
		}
		if _, err := h.verifier.Verify(t.Context(), sign(t, h.legacy, h.claims(without("iss")))); err != nil {
			t.Errorf("HS256: %v", err)
		}
		if err := h.verifier.Check(t.Context()); err != nil {
			t.Errorf("check: %v", err)
		}
		if n := h.server.Requests(); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
	t.Run("anonymous allowed", func(t *testing.T) {
		h := newFixture(t, func(c *token.Config) { c.AllowAnonymous = true })
		claims, err := h.verifier.Verify(t.Context(), sign(t, h.es256, h.claims(set("is_anonymous", true))))
		if err != nil || !claims.Anonymous {
			t.Errorf("anonymous %v, error %v", claims.Anonymous, err)
		}
	})
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := token.New(token.Config{SupabaseURL: "ref.supabase.co", JWTSecret: "short", Leeway: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Supabase URL", "JWT secret of 5 bytes", "leeway"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "short") {
		t.Errorf("%q tells the secret", err)
	}
	if _, err := token.New(token.Config{}); err == nil {
		t.Error("nothing configured: no error")
	}
	for _, url := range []string{"ftp://x", "https://", "https://u:p@x", "https://x?y", "https://x#y", "https://x/%zz"} {
		if _, err := token.New(token.Config{SupabaseURL: url}); err == nil {
			t.Errorf("%s: no error", url)
		}
	}
	if _, err := token.New(token.Config{SupabaseURL: project + "/"}); err != nil {
		t.Errorf("trailing slash: %v", err)
	}
}

// seal builds a legacy token from header and payload taken literally.
func seal(header, payload string) string {
	text := b64(header) + "." + b64(payload)
	return text + "." + base64.RawURLEncoding.EncodeToString(mac(text))
}

func mac(text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}
