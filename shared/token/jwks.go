package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/MicahParks/jwkset"
)

const (
	// fetchTimeout bounds one fetch of the key set, from dialing to the last
	// byte. Every request that needs a new key waits for it.
	fetchTimeout = 4 * time.Second
	maxSetBytes  = 64 << 10
	// minModulus is the least RSA modulus in bits: RFC 7518, section 3.3.
	minModulus = 2048
)

// errKey marks a key of the set that is not for us. It is passed over, so that
// a kind of key published tomorrow does no harm today.
var errKey = errors.New("key of no use here")

// key is a public key and the one algorithm it verifies.
type key struct {
	alg    string
	public crypto.PublicKey
}

// fetcher returns the function that gets and reads the set at url.
func fetcher(url string, client *http.Client) func(context.Context) (map[string]key, error) {
	own := http.Client{}
	if client != nil {
		own = *client
	}
	// Keys come from the configured host or not at all.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	return func(ctx context.Context) (map[string]key, error) {
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/json")
		req.Close = true // asked again in ten minutes: a connection kept until then may be dead without a word
		res, err := own.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("key set: status %d", res.StatusCode)
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, maxSetBytes+1))
		if err != nil {
			return nil, fmt.Errorf("key set: %w", err)
		}
		return parseSet(body)
	}
}

// parseSet reads a JWK Set (RFC 7517, section 5) into keys by kid. Of two keys
// with one kid the first counts.
func parseSet(body []byte) (map[string]key, error) {
	if len(body) > maxSetBytes {
		return nil, fmt.Errorf("key set: more than %d bytes", maxSetBytes)
	}
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil || set.Keys == nil {
		return nil, errors.New("key set: not a JWK Set")
	}
	keys := make(map[string]key, len(*set.Keys))
	for _, raw := range *set.Keys {
		kid, k, err := parseKey(raw)
		if err != nil {
			continue
		}
		if _, twice := keys[kid]; !twice {
			keys[kid] = k
		}
	}
	return keys, nil
}

// parseKey reads one public signing key and pins its algorithm, which follows
// from the key itself. An alg, use or key_ops that says otherwise disqualifies
// it, and so does symmetric key material.
func parseKey(raw json.RawMessage) (kid string, k key, err error) {
	jwk, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return "", key{}, fmt.Errorf("%w: %w", errKey, err)
	}
	switch public := jwk.Key().(type) {
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() {
			k = key{alg: "ES256", public: public}
		}
	case *rsa.PublicKey:
		if public.N.BitLen() >= minModulus {
			k = key{alg: "RS256", public: public}
		}
	case ed25519.PublicKey:
		k = key{alg: "EdDSA", public: public}
	}
	m := jwk.Marshal()
	signs := (m.USE == "" || m.USE == jwkset.UseSig) &&
		(len(m.KEYOPS) == 0 || slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify))
	pinned := m.ALG == "" || m.ALG.String() == k.alg
	if k.public == nil || m.KID == "" || !signs || !pinned {
		return "", key{}, errKey
	}
	return m.KID, k, nil
}
