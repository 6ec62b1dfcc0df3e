// Package tokentest mints Supabase-like access tokens and publishes key sets,
// for tests and for the local stack. It is no part of the function.
package tokentest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// Signer signs tokens with one key.
type Signer struct {
	method  jwt.SigningMethod
	kid     string
	private any
	public  crypto.PublicKey // nil for HS256
}

// HS256 is the legacy signer: a shared secret, no kid.
func HS256(secret string) Signer {
	return Signer{method: jwt.SigningMethodHS256, private: []byte(secret)}
}

// ES256 makes a signer with a new P-256 key, as new Supabase projects have it.
func ES256(kid string) (Signer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Signer{}, fmt.Errorf("P-256 key: %w", err)
	}
	return Signer{jwt.SigningMethodES256, kid, private, private.Public()}, nil
}

// RS256 makes a signer with a new RSA key of 2048 bits.
func RS256(kid string) (Signer, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Signer{}, fmt.Errorf("RSA key: %w", err)
	}
	return Signer{jwt.SigningMethodRS256, kid, private, private.Public()}, nil
}

// EdDSA makes a signer with a new Ed25519 key.
func EdDSA(kid string) (Signer, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Signer{}, fmt.Errorf("Ed25519 key: %w", err)
	}
	return Signer{jwt.SigningMethodEdDSA, kid, private, public}, nil
}

// WithKID returns the same signer naming another key: for forgeries.
func (s Signer) WithKID(kid string) Signer {
	s.kid = kid
	return s
}

// Public is the public key, nil for HS256.
func (s Signer) Public() crypto.PublicKey { return s.public }

// Sign returns a token in compact form. Claims must marshal to JSON.
func (s Signer) Sign(claims map[string]any) (string, error) {
	t := jwt.NewWithClaims(s.method, jwt.MapClaims(claims))
	if s.kid != "" {
		t.Header["kid"] = s.kid
	}
	compact, err := t.SignedString(s.private)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return compact, nil
}

// JWK is the public key as a key set shows it; HS256 has none.
func (s Signer) JWK() (json.RawMessage, error) {
	jwk, err := jwkset.NewJWKFromKey(s.public, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
		ALG: jwkset.ALG(s.method.Alg()), KID: s.kid, USE: jwkset.UseSig, KEYOPS: []jwkset.KEYOPS{jwkset.KeyOpsVerify},
	}})
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", s.kid, err)
	}
	return json.Marshal(jwk.Marshal())
}

// Claims returns what Supabase Auth writes for a signed-in user: valid from now
// for an hour, issued by the Auth of the project at supabaseURL (no trailing
// slash). The caller may change any of it before signing.
func Claims(supabaseURL, userID string, now time.Time) map[string]any {
	return map[string]any{
		"iss":           supabaseURL + "/auth/v1",
		"sub":           userID,
		"aud":           "authenticated",
		"exp":           now.Add(time.Hour).Unix(),
		"iat":           now.Unix(),
		"role":          "authenticated",
		"email":         userID[:min(8, len(userID))] + "@example.com",
		"phone":         "",
		"aal":           "aal1",
		"amr":           []any{map[string]any{"method": "password", "timestamp": now.Unix()}},
		"session_id":    "5e55107d-0000-4000-8000-000000000001",
		"is_anonymous":  false,
		"app_metadata":  map[string]any{"provider": "email", "providers": []string{"email"}},
		"user_metadata": map[string]any{"email_verified": true},
	}
}
