package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"testing"
)

// FuzzKeySet: whatever an endpoint publishes, a key is a public one of a kind that is
// accepted, with the one algorithm that belongs to it.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","alg":"ES256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","kid":"c","alg":"HS256","k":"c2VjcmV0"},null,7,{"kty":"RSA","kid":"d","e":"AQAB","n":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseSet(body)
		if err != nil {
			return
		}
		for kid, k := range keys {
			ok := false
			switch public := k.public.(type) {
			case *ecdsa.PublicKey:
				ok = k.alg == "ES256" && public.Curve == elliptic.P256()
			case *rsa.PublicKey:
				ok = k.alg == "RS256" && public.N.BitLen() >= minModulus
			case ed25519.PublicKey:
				ok = k.alg == "EdDSA" && len(public) == ed25519.PublicKeySize
			}
			if !ok || kid == "" {
				t.Fatalf("%q: key %q is %T for %q", body, kid, k.public, k.alg)
			}
		}
	})
}
