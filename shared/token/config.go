package token

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// DefaultLeeway is how far this machine's clock may be from the issuer's: a
	// machine just resumed from suspend runs late until it is synchronised.
	DefaultLeeway = 30 * time.Second

	// minSecret is the least length of an HS256 secret in bytes: RFC 7518,
	// section 3.2, asks for the size of the hash.
	minSecret = 32
)

// Config says whose tokens are accepted. At least one of SupabaseURL and
// JWTSecret is required.
type Config struct {
	// SupabaseURL is the project's URL, such as https://ref.supabase.co. It
	// gives the key set's address and the issuer every token must name. Without
	// it only HS256 is accepted and the issuer is NOT checked: then the secret
	// alone says whose tokens these are.
	SupabaseURL string
	// JWTSecret is the legacy HS256 secret. Without it HS256 is refused.
	JWTSecret string
	// AllowAnonymous admits users who signed in anonymously. Their role and
	// audience are "authenticated" as well, so nothing else would stop them.
	AllowAnonymous bool
	// Leeway is granted on exp and nbf; see DefaultLeeway.
	Leeway time.Duration
	// Clock defaults to time.Now.
	Clock func() time.Time
	// HTTPClient fetches the key set. Redirects are never followed.
	HTTPClient *http.Client
	// Log defaults to none.
	Log *slog.Logger
}

// New returns a Verifier, or an error that names every fault of cfg. It opens
// no connection.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{
		secret:    []byte(cfg.JWTSecret),
		anonymous: cfg.AllowAnonymous,
		leeway:    cfg.Leeway,
		clock:     cfg.Clock,
		memo:      newMemo(),
	}
	if v.clock == nil {
		v.clock = time.Now
	}
	var faults []error
	if cfg.SupabaseURL == "" && cfg.JWTSecret == "" {
		faults = append(faults, errors.New("neither a Supabase URL nor a JWT secret"))
	}
	if n := len(cfg.JWTSecret); n > 0 && n < minSecret {
		faults = append(faults, fmt.Errorf("JWT secret of %d bytes, at least %d needed", n, minSecret))
	}
	if cfg.Leeway < 0 {
		faults = append(faults, errors.New("negative leeway"))
	}
	if cfg.SupabaseURL != "" {
		auth, err := authURL(cfg.SupabaseURL)
		if err != nil {
			faults = append(faults, err)
		}
		v.issuer = auth
		v.keys = newKeySet(auth+"/.well-known/jwks.json", v.clock, cfg.HTTPClient, cfg.Log)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("token: %w", errors.Join(faults...))
	}
	return v, nil
}

// IsProjectURL reports whether a text can be a Supabase project's address: https://host.
func IsProjectURL(project string) bool {
	_, err := authURL(project)
	return err == nil
}

// authURL is the address of a project's Auth, and the issuer that its tokens name.
func authURL(project string) (string, error) {
	u, err := url.Parse(project)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the Supabase URL is not of the form https://host")
	}
	return strings.TrimRight(u.String(), "/") + "/auth/v1", nil
}
