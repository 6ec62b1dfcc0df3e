package outbox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ParseURL reads a database URL as pgx does, with two differences. Without an sslmode
// only this machine is spoken to in clear: libpq's default, prefer, takes a server
// without TLS, and so anybody who claims to be one. With a CA (PEM; Supabase's
// prod-ca-2021.crt) the server's certificate and name are verified against it, and a
// sslrootcert in the URL is ignored: that file is on somebody's laptop.
//
// Its error names what is wrong and never repeats the password.
func ParseURL(databaseURL, ca string) (*pgxpool.Config, error) {
	if ca != "" {
		databaseURL = withoutRootCert(databaseURL)
	}
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", parseError(err))
	}
	conn := &config.ConnConfig.Config
	switch {
	case ca != "":
		if err := verifyFull(conn, ca); err != nil {
			return nil, err
		}
	case !namesSSLMode(databaseURL) && !IsLocal(conn.Host):
		onlyTLS(conn)
	}
	return config, nil
}

// errCA is a DATABASE_CA that is none.
var errCA = errors.New("database CA: holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")

func verifyFull(conn *pgconn.Config, ca string) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		return errCA
	}
	verify := func(host string) *tls.Config {
		return &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
	}
	conn.TLSConfig = verify(conn.Host)
	for _, fallback := range conn.Fallbacks {
		fallback.TLSConfig = verify(fallback.Host)
	}
	return nil
}

// onlyTLS takes away what would connect in clear: of the pairs that sslmode=prefer makes,
// the second.
func onlyTLS(conn *pgconn.Config) {
	var kept []*pgconn.FallbackConfig
	for _, fallback := range conn.Fallbacks {
		if fallback.TLSConfig != nil {
			kept = append(kept, fallback)
		}
	}
	conn.Fallbacks = kept
}

// IsLocal reports whether a host is this machine: a socket's folder, or loopback.
func IsLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || strings.HasPrefix(host, "/") || host == "localhost" || ip != nil && ip.IsLoopback()
}

func namesSSLMode(databaseURL string) bool {
	return strings.Contains(databaseURL, "sslmode=") || os.Getenv("PGSSLMODE") != "" // as pgx reads it
}

func withoutRootCert(databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil || !u.Query().Has("sslrootcert") {
		return databaseURL
	}
	query := u.Query()
	query.Del("sslrootcert")
	u.RawQuery = query.Encode()
	return u.String()
}

// parseError takes the connection string, and so the password, out of pgx's parse
// error, which quotes it.
func parseError(err error) error {
	if strings.Contains(err.Error(), "unable to read CA file") || strings.Contains(err.Error(), "unable to add CA to cert pool") {
		return errors.New("sslrootcert names a file that cannot be read here: set DATABASE_CA to the certificate itself, in PEM")
	}
	return ScrubURL(err)
}

// ScrubURL takes the connection string, and so the password, out of pgx's parse error,
// which quotes it, and what else is quoted: of a password with a / in it, what stands before
// that is taken for a port.
func ScrubURL(err error) error {
	const quotes = "`\"" // from the first to the last one of either kind, since a password can hold both
	text := err.Error()
	first, last := strings.IndexAny(text, quotes), strings.LastIndexAny(text, quotes)
	if first < last {
		text = text[:first] + "…" + text[last+1:]
	}
	return errors.New(text)
}
