package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/outbox"
)

const verifyRemedy = "set DATABASE_CA to the certificate (Supabase: Database settings, SSL configuration, prod-ca-2021.crt), or sslmode=verify-full in the URL"

// checkConnection reads from DATABASE_URL which way it takes: through which pooler, and
// behind what encryption. The relay works in transaction mode, and only there do many
// relays share few connections.
func (d *doctor) checkConnection(_ context.Context, f *findings) error {
	if d.DatabaseURL == "" {
		f.skip("needs DATABASE_URL, as the function has it")
		return nil
	}
	config, err := outbox.ParseURL(d.DatabaseURL, d.DatabaseCA)
	if err != nil {
		f.fail(urlRemedy(err), "DATABASE_URL: %s", short(err))
		return nil
	}
	conn := config.ConnConfig
	switch pooled := isPooler(conn.Host); {
	case pooled && conn.Port == 5432:
		f.warn("use port 6543", "DATABASE_URL names the pooler's session mode, which holds one of few connections for each of ours")
	case pooled || conn.Port == 6543:
		f.ok("through the pooler's transaction mode")
	default:
		f.ok("direct, to %s", net.JoinHostPort(conn.Host, fmt.Sprint(conn.Port)))
	}
	switch {
	case outbox.IsLocal(conn.Host):
	case conn.TLSConfig == nil || hasClearFallback(conn):
		f.fail(verifyRemedy, "the connection to %s need not be encrypted", conn.Host)
	case conn.TLSConfig.InsecureSkipVerify && conn.TLSConfig.VerifyPeerCertificate == nil:
		f.warn(verifyRemedy, "the connection is encrypted, and nobody checks who is at the other end")
	}
	return nil
}

func hasClearFallback(conn *pgx.ConnConfig) bool {
	for _, fallback := range conn.Fallbacks {
		if fallback.TLSConfig == nil {
			return true
		}
	}
	return false
}

// urlRemedy says what to do about a URL that cannot be used.
func urlRemedy(err error) string {
	if strings.Contains(err.Error(), "DATABASE_CA") || strings.Contains(err.Error(), "PEM") {
		return "DATABASE_CA holds the certificate itself, in PEM, with its line breaks"
	}
	return "it must look like postgres://user:password@host:6543/postgres, special characters of the password percent-encoded"
}

func isPooler(host string) bool { return strings.HasSuffix(host, ".pooler.supabase.com") }

// checkProject compares the project references that the settings name: Supabase writes
// a project's into its address, its database's host and the pooler's user names.
func (d *doctor) checkProject(_ context.Context, f *findings) error {
	type place struct{ name, ref string }
	var places []place
	for _, p := range []place{
		{"SUPABASE_URL", refOfProject(d.SupabaseURL)},
		{"DATABASE_URL", refOfDatabase(d.DatabaseURL)},
		{"OWNER_DATABASE_URL", refOfDatabase(d.OwnerURL)},
	} {
		if p.ref != "" {
			places = append(places, p)
		}
	}
	for _, p := range places[min(1, len(places)):] {
		if first := places[0]; p.ref != first.ref {
			f.fail("copy all of them from one project's dashboard", "%s is of project %s, %s of %s: users' tokens would be those of other people",
				first.name, first.ref, p.name, p.ref)
			return nil
		}
	}
	if len(places) == 0 {
		f.ok("not on Supabase's own hosts")
	} else {
		f.ok("%s", places[0].ref)
	}
	return nil
}

// refOfProject is <ref> of https://<ref>.supabase.co; empty elsewhere.
func refOfProject(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	ref, ok := strings.CutSuffix(u.Hostname(), ".supabase.co")
	if !ok || strings.Contains(ref, ".") {
		return ""
	}
	return ref
}

// refOfDatabase is <ref> of db.<ref>.supabase.co, or of the user role.<ref> behind the
// pooler; empty elsewhere.
func refOfDatabase(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if isPooler(u.Hostname()) {
		_, ref, _ := strings.Cut(u.User.Username(), ".")
		return ref
	}
	if rest, ok := strings.CutPrefix(u.Hostname(), "db."); ok {
		ref, ok := strings.CutSuffix(rest, ".supabase.co")
		if ok {
			return ref
		}
	}
	return ""
}

// refusals are what a connection that does not come about says, and what to do.
func refusals() []struct{ part, remedy string } {
	return []struct{ part, remedy string }{
		{"Tenant or user not found", "the pooler does not know this project: it is one of another region, the user name lacks .<ref>, or the project is paused; copy the string again from the dashboard, Connect"},
		{"tenant/user", "the pooler does not know this project: it is one of another region, the user name lacks .<ref>, or the project is paused; copy the string again from the dashboard, Connect"},
		{"no such host", "is the project paused or deleted? Supabase takes its names away then: restore it in the dashboard. Else correct the host"},
		{"network is unreachable", "db.<ref>.supabase.co is IPv6 only: from here use the pooler's address"},
		{"no route to host", "db.<ref>.supabase.co is IPv6 only: from here use the pooler's address"},
		{"certificate signed by unknown authority", "set DATABASE_CA to the project's certificate (Supabase: Database settings, SSL configuration)"},
		{"failed to verify certificate", "DATABASE_CA is another server's, or the host's name is not in its certificate: compare both with the dashboard"},
		{"server refused TLS connection", "the server has no TLS: switch it on, or say sslmode=disable if the network between is yours alone"},
		{"MaxClients", "the pooler's session mode is full: use port 6543"},
	}
}

// connectRemedy says what to do about a connection that does not come about; else is for
// what is not recognized.
func connectRemedy(err error, otherwise string) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "53300": // too_many_connections
			return "no connection is left for it: raise max_connections or the role's limit, use the pooler (port 6543), or end what holds them"
		case "28P01", "28000": // invalid_password, invalid_authorization_specification
			return "check user and password; special characters of a password must be percent-encoded"
		case "57P03": // cannot_connect_now
			return "the database is starting, or recovers: wait, then run doctor again"
		case "3D000": // invalid_catalog_name
			return "there is no such database on this server: Supabase's is called postgres"
		}
	}
	for _, r := range refusals() {
		if strings.Contains(err.Error(), r.part) {
			return r.remedy
		}
	}
	return otherwise
}
