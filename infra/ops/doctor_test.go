package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/pusher/pushertest"
)

func TestHealthyInstallation(t *testing.T) {
	for _, f := range newInstallation(t).examine() {
		if f.Verdict != good {
			t.Errorf("of a healthy one the doctor says: %s", f.text())
		}
	}
}

func TestDoctorFindsEachFault(t *testing.T) {
	for _, fault := range faults() {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			p := newInstallation(t)
			fault.plant(p)
			all := p.examine(fault.check) // a whole round takes pg_net's patience
			if !slices.ContainsFunc(all, func(f finding) bool {
				return f.Check == fault.check && f.Verdict == fault.as &&
					strings.Contains(f.Found, fault.found) && strings.Contains(f.Remedy, fault.remedy)
			}) {
				t.Errorf("not found: %s by %q as %s; the doctor says:", fault.found, fault.check, fault.as)
				for _, f := range all {
					if f.Verdict != good || f.Check == fault.check {
						t.Log(f.text())
					}
				}
			}
			for _, f := range all {
				if f.Verdict != good && f.Verdict != skipped && f.Remedy == "" {
					t.Errorf("no remedy: %s", f.text())
				}
				if text := f.text(); strings.Contains(text, secret) || strings.Contains(text, password) {
					t.Errorf("tells a secret: %s", text)
				}
			}
		})
	}
}

func (p *installation) configure(address string) {
	p.Helper()
	p.exec(`update roomcast.settings set url = $1`, address)
}

func (p *installation) emulated(f pushertest.Fault) { p.pusher.Inject(f) }

// delays makes the nth wake-up wait for the nth time, the last one for all that follow.
func delays(times ...time.Duration) func(int64) <-chan time.Time {
	return func(nth int64) <-chan time.Time { return time.After(times[min(int(nth), len(times))-1]) }
}

func answers(status int) func(*installation) {
	return func(p *installation) {
		p.function.webhook = func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(status)
			return true
		}
	}
}

// pusherAt is a Pusher that believes it is another time.
func pusherAt(p *installation, at time.Time, status int) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", at.UTC().Format(http.TimeFormat))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"channels":{}}`))
	}))
	p.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// holdOpen leaves a transaction open that has written a row.
func holdOpen(p *installation) {
	p.Helper()
	p.oldTx = 0
	conn, err := pgx.Connect(p.Context(), p.OwnerURL)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(p.Context(), `begin; insert into messages (room_id, content) values ('`+roomA+`', 'x')`); err != nil {
		p.Fatal(err)
	}
}

// holdSnapshot leaves a report open that reads the database as it was.
func holdSnapshot(p *installation) {
	p.Helper()
	p.snapshots = 0
	conn, err := pgx.Connect(p.Context(), p.OwnerURL+"&application_name=nightly%20report")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(p.Context(), `begin isolation level repeatable read; select 1`); err != nil {
		p.Fatal(err)
	}
}

// Where the connection goes is read from the URL alone.
func TestConnection(t *testing.T) {
	for _, tc := range []struct {
		url string
		as  verdict
		say string
	}{
		{"postgres://u:p@aws-0-eu.pooler.supabase.com:5432/postgres?sslmode=require", warning, "session mode"},
		{"postgres://u:p@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=disable", failure, "need not be encrypted"},
		{"postgres://u:p@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=prefer", failure, "need not be encrypted"},
		{"postgres://u:p@aws-0-eu.pooler.supabase.com:6543/postgres", warning, "nobody checks who"},
		{"postgres://u:p@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=verify-full&sslrootcert=prod-ca-2021.crt", failure, "set DATABASE_CA to the certificate itself"},
		{"postgres://u:p@db.ref.supabase.co:5432/postgres?sslmode=require", warning, "nobody checks who"},
		{"postgres://u:p@127.0.0.1:5432/postgres?sslmode=disable", good, "direct"},
		{"postgres://u:p@host:port/postgres", failure, "invalid port"},
	} {
		var found findings
		if err := newDoctor(settings{DatabaseURL: tc.url}).checkConnection(t.Context(), &found); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(found, func(f finding) bool { return f.Verdict == tc.as && strings.Contains(f.Found, tc.say) }) {
			t.Errorf("%s: %+v", tc.url, found)
		}
	}
}

// Settings of two projects do not go together.
func TestProject(t *testing.T) {
	const pooled = "postgres://postgres.abc:p@aws-0-eu.pooler.supabase.com:6543/postgres"
	for _, tc := range []struct {
		s   settings
		as  verdict
		say string
	}{
		{settings{SupabaseURL: "https://abc.supabase.co", DatabaseURL: pooled}, good, "abc"},
		{settings{SupabaseURL: "https://xyz.supabase.co", DatabaseURL: pooled}, failure, "SUPABASE_URL is of project xyz, DATABASE_URL of abc"},
		{settings{DatabaseURL: pooled, OwnerURL: "postgres://postgres:p@db.xyz.supabase.co:5432/postgres"}, failure, "OWNER_DATABASE_URL of xyz"},
		{settings{SupabaseURL: "https://chat.example", DatabaseURL: "postgres://u:p@127.0.0.1/x"}, good, "not on Supabase"},
	} {
		var found findings
		if err := newDoctor(tc.s).checkProject(t.Context(), &found); err != nil || len(found) != 1 || found[0].Verdict != tc.as || !strings.Contains(found[0].Found, tc.say) {
			t.Errorf("%+v: %+v, %v", tc.s, found, err)
		}
	}
}

// What a refused connection says is met with what to do about it.
func TestRefusedConnections(t *testing.T) {
	for _, tc := range []struct {
		err error
		say string
	}{
		{errors.New("failed SASL auth: FATAL: Tenant or user not found (SQLSTATE XX000)"), "another region"},
		{errors.New("hostname resolving error: lookup db.abc.supabase.co: no such host"), "paused"},
		{errors.New("dial tcp [2a05::1]:5432: connect: network is unreachable"), "IPv6"},
		{&pgconn.PgError{Code: "53300", Message: "too many connections for role"}, "no connection is left"},
		{&pgconn.PgError{Code: "28P01"}, "password"},
		{errors.New("tls error: x509: certificate signed by unknown authority"), "DATABASE_CA"},
		{errors.New("server refused TLS connection"), "no TLS"},
		{errors.New("something else"), "otherwise"},
	} {
		if got := connectRemedy(tc.err, "otherwise"); !strings.Contains(got, tc.say) {
			t.Errorf("%v: %s", tc.err, got)
		}
	}
}

func TestWakeupAddress(t *testing.T) {
	d := newDoctor(settings{})
	d.wakeup.url = "http://chat.example" + webhookPath
	var found findings
	d.checkURL(&found)
	if len(found) != 1 || !strings.Contains(found[0].Found, "not https") {
		t.Errorf("%+v", found)
	}
}

// Every setting of the function is compared, told in a report of its own, or one machine's
// own affair: a new one must be put somewhere.
func TestEverySettingIsAccountedFor(t *testing.T) {
	elsewhere := []string{"PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_CLUSTER", "PUSHER_HOST"} // by checkFunctionPusher, in clear
	machines := []string{"LISTEN_HOST", "PORT", "METRICS_PORT", "IDLE_EXIT", "CLAIM_LEASE", "LINGER", "LAMBDA_STREAMING", "LOG_LEVEL",
		"CLIENT_RATE", "ALLOW_ANONYMOUS", "PRESENCE_EVENTS", "TRUSTED_PROXIES", "FLY_APP_NAME", "FLY_MACHINE_ID"} // fly.toml's
	known := slices.Concat(compared(), elsewhere, machines)
	settings := regexp.MustCompile("env:\"([A-Z_]+)\"").FindAllStringSubmatch(readFile(t, "../../functions/config.go"), -1)
	if len(settings) < 20 {
		t.Fatalf("only %d settings found", len(settings))
	}
	for _, s := range settings {
		if !slices.Contains(known, s[1]) {
			t.Errorf("%s is compared by nobody", s[1])
		}
	}
}
