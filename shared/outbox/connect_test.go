package outbox_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

// authority is a CA as Supabase has one for its databases.
type authority struct {
	pem  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of tests"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	template.Raw = der
	return authority{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), template, key}
}

// issue makes a server's certificate.
func (a authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// front ends TLS before a Postgres without it, as poolers do, and returns its address.
func front(t *testing.T, behind string, cert tls.Certificate) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			go terminate(conn, behind, cert)
		}
	}()
	return listener.Addr().String()
}

// terminate answers one SSLRequest (Postgres' protocol, "SSL Session Encryption") with
// yes and carries what follows.
func terminate(conn net.Conn, behind string, cert tls.Certificate) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
		return
	}
	if _, err := conn.Write([]byte("S")); err != nil {
		return
	}
	server, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	defer server.Close()
	secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
	go func() { _, _ = io.Copy(server, secure); _ = server.Close() }()
	_, _ = io.Copy(secure, server)
}

// connectAs connects by a URL for host, while the name leads to address.
func connectAs(t *testing.T, databaseURL, host, address, params, ca string) error {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host, u.RawQuery = host+":5432", params
	config, err := outbox.ParseURL(u.String(), ca)
	if err != nil {
		return err
	}
	config.ConnConfig.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	config.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config.ConnConfig)
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(t.Context()), conn.Close(t.Context()))
}

// Who answers for the database must show the project's certificate, and nothing that is
// not this machine is spoken to in clear unless the URL says so.
func TestConnectionsAreVerified(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	databaseURL := outboxtest.Database(t)
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	const name = "aws-0-eu.pooler.supabase.com"
	ca, another := newAuthority(t), newAuthority(t)
	secure, clear := front(t, u.Host, ca.issue(t, name)), u.Host
	for _, tc := range []struct {
		what, host, address, params, ca, fails string
	}{
		{"verified in full", name, secure, "", ca.pem, ""},
		{"a CA file of somebody's laptop is not asked for", name, secure, "sslmode=verify-full&sslrootcert=prod-ca-2021.crt", ca.pem, ""},
		{"sslmode=require is made stronger by the CA", name, secure, "sslmode=require", another.pem, "certificate"},
		{"another CA", name, secure, "", another.pem, "certificate"},
		{"another name", "db.example.com", secure, "", ca.pem, "certificate"},
		{"no TLS there, and a CA", name, clear, "", ca.pem, "TLS"},
		{"no TLS there, and no word of it", name, clear, "", "", "TLS"},
		{"no TLS there, and the URL says so", name, clear, "sslmode=disable", "", ""},
		{"no TLS there, and the URL says prefer", name, clear, "sslmode=prefer", "", ""},
		{"TLS without a CA", name, secure, "", "", ""},
		{"this machine, in clear", "127.0.0.1", clear, "", "", ""},
		{"a CA file that is not here", name, secure, "sslmode=verify-full&sslrootcert=prod-ca-2021.crt", "", "set DATABASE_CA"},
		{"a CA that is none", name, secure, "", "prod-ca-2021.crt", "PEM"},
	} {
		err := connectAs(t, databaseURL, tc.host, tc.address, tc.params, tc.ca)
		switch {
		case tc.fails == "" && err != nil:
			t.Errorf("%s: %v", tc.what, err)
		case tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)):
			t.Errorf("%s: error %v, want one of %q", tc.what, err, tc.fails)
		}
	}
}
