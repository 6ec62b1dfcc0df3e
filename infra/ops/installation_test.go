package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5"

	"roomcast/functions/relay"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgcron"
	"roomcast/shared/outbox/outboxtest/pgnet"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/selfcheck"
	"roomcast/shared/token/tokentest"
	"roomcast/shared/web"
)

const (
	roomA    = "aaaaaaaa-0000-4000-8000-000000000001"
	roomB    = "bbbbbbbb-0000-4000-8000-000000000002"
	secret   = "webhook-secret-of-tests-32-characters"
	password = "password-of-tests"
	origin   = "https://chat.example"
)

// installation is a healthy installation in which tests plant faults: a chat in a real
// Postgres with what a Supabase project has, a fake function, an emulated Pusher, a key set.
type installation struct {
	*testing.T
	settings
	conn      *pgx.Conn
	pusher    *pushertest.Server
	keys      *tokentest.KeySet
	signer    tokentest.Signer
	function  *fakeFunction
	sender    *pgnet.Sender
	patience  time.Duration
	oldTx     time.Duration
	snapshots time.Duration
	leaseWait time.Duration
	event     bool // the function is to send a test event
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	p := &installation{T: t, patience: 40 * time.Second, oldTx: longTransaction, snapshots: oldSnapshot, leaseWait: 20 * time.Second}
	admin := outboxtest.DatabaseFrom(t, "ops", func(ctx context.Context, url string) error {
		return errors.Join(outboxtest.InstallChat(ctx, url), pgcron.Install(ctx, url))
	})
	p.connect(admin)
	p.login("ops_relay", "in role roomcast_relay")
	p.function = newFakeFunction(t)
	p.function.awake = p.awakener(admin)
	p.exec(`select roomcast.configure(url => $1, secret => $2)`, p.function.URL+webhookPath, secret)
	p.emulate()

	signer, err := tokentest.ES256("key-1")
	p.signer = signer
	if err != nil {
		t.Fatal(err)
	}
	if p.keys, err = tokentest.NewKeySet(signer); err != nil {
		t.Fatal(err)
	}
	project := httptest.NewServer(p.keys)
	t.Cleanup(project.Close)

	if p.sender, err = pgnet.Start(context.WithoutCancel(t.Context()), admin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.sender.Stop() })
	c := p.pusher.Config()
	p.settings = settings{
		OwnerURL: admin, DatabaseURL: p.as("ops_relay"), WebhookSecrets: []string{"an-older-secret-of-tests-32-characters", secret},
		PusherAppID: c.AppID, PusherKey: c.Key, PusherSecret: c.Secret, PusherHost: c.Host,
		SupabaseURL: project.URL, RoomChannels: []string{"private"}, AllowedOrigins: []string{origin},
	}
	p.settings.environ = env.ToMap(p.environment())
	p.function.self = p.selfcheck()
	return p
}

// awakener does what a relay does first when it is woken.
func (p *installation) awakener(databaseURL string) func() {
	return func() {
		if err := outboxtest.Exec(context.WithoutCancel(p.Context()), databaseURL, `select roomcast.stay_awake('5 s')`); err != nil {
			p.Logf("stay awake: %v", err) // a test has taken the schema away
		}
	}
}

// selfcheck is what the function of a healthy installation says of itself.
func (p *installation) selfcheck() *selfcheck.Report {
	p.Helper()
	report := &selfcheck.Report{
		Version: "abc", Mode: "outbox", Channels: []string{"private"},
		Database: &selfcheck.Database{Reachable: true, Host: "127.0.0.1", Name: one[string](p, `select current_database()`),
			SystemIdentifier: one[string](p, `select system_identifier::text from pg_control_system()`), Schema: 1, SchemaExpected: 1},
		Pusher: selfcheck.Pusher{AppID: p.PusherAppID, Key: p.PusherKey, Host: p.PusherHost, Reachable: true, Status: 200},
		Keys:   &selfcheck.Keys{Reachable: true}, Relay: &selfcheck.Relay{Awake: true}, Prints: map[string]string{},
	}
	for _, name := range compared() {
		if value := p.settings.environ[name]; value != "" {
			report.Prints[name] = selfcheck.Print(secret, name, value)
		}
	}
	return report
}

func (p *installation) connect(admin string) {
	p.Helper()
	conn, err := pgx.Connect(p.Context(), admin)
	if err != nil {
		p.Fatal(err)
	}
	p.conn, p.OwnerURL = conn, admin
	p.Cleanup(func() { _ = conn.Close(context.Background()) })
}

func (p *installation) emulate() {
	p.Helper()
	p.pusher = pushertest.Start(p, pushertest.Options{})
}

// login makes a role that can log in. Roles are the cluster's, shared by all tests.
func (p *installation) login(name, how string) {
	p.Helper()
	p.exec(`do $$ begin create role ` + name + ` login password '` + password + `' ` + how + `; exception when duplicate_object then null; end $$`)
}

// ownedBy gives the schema roomcast to a role that is no superuser.
func (p *installation) ownedBy(role string) {
	p.Helper()
	p.login(role, "")
	p.exec(`do $$ declare f record; begin
		execute 'alter schema roomcast owner to ` + role + `';
		for f in select c.oid::regclass as it from pg_class c where c.relnamespace = 'roomcast'::regnamespace and c.relkind = 'r' loop execute format('alter table %s owner to ` + role + `', f.it); end loop;
		for f in select p.oid::regprocedure as it from pg_proc p where p.pronamespace = 'roomcast'::regnamespace loop execute format('alter function %s owner to ` + role + `', f.it); end loop;
		for f in select c.oid::regclass as it from pg_class c where c.relnamespace = 'roomcast'::regnamespace and c.relkind = 'S' and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i')) loop execute format('alter sequence %s owner to ` + role + `', f.it); end loop;
	end $$`)
}

// subscribe makes a subscription that writes messages, and connects to nobody.
func (p *installation) subscribe() {
	p.Helper()
	name := "sub_" + one[string](p, `select current_database()::text`)
	p.exec(`create subscription ` + name + ` connection 'dbname=none' publication none with (connect = false, slot_name = none)`)
	p.exec(`insert into pg_subscription_rel select oid, 'messages'::regclass, 'r', null from pg_subscription where subname = $1`, name)
	admin := p.OwnerURL
	p.Cleanup(func() { _ = outboxtest.Exec(context.Background(), admin, `drop subscription `+name) })
}

// as is the database's URL with another user.
func (p *installation) as(user string) string {
	p.Helper()
	u, err := url.Parse(p.OwnerURL)
	if err != nil {
		p.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func (p *installation) exec(sql string, args ...any) {
	p.Helper()
	if _, err := p.conn.Exec(p.Context(), sql, args...); err != nil {
		p.Fatalf("%s: %v", sql, err)
	}
}

func one[T any](p *installation, sql string, args ...any) (v T) {
	p.Helper()
	if err := p.conn.QueryRow(p.Context(), sql, args...).Scan(&v); err != nil {
		p.Fatalf("%s: %v", sql, err)
	}
	return v
}

// examine makes a whole round.
func (p *installation) examine(only ...string) []finding {
	p.Helper()
	p.function.relays.Store(true)
	p.settings.environ = env.ToMap(p.environment())
	d := newDoctor(p.settings)
	defer d.close()
	d.event, d.only = p.event, only
	d.patience, d.oldTx, d.oldSnapshot, d.leaseWait = p.patience, p.oldTx, p.snapshots, p.leaseWait
	return d.round(p.Context(), func(finding) {})
}

// fakeFunction stands in for the deployed function: the real webhook handler, and answers that tests set.
type fakeFunction struct {
	*httptest.Server
	health  string
	self    *selfcheck.Report // nil: an older function, that does not know the route
	awake   func()            // what a wake-up does
	relays  atomic.Bool       // only the doctor is to find a relay: the others tell how it is without
	origins []string
	date    time.Time                        // what it believes the time to be; zero: it is right
	webhook func(http.ResponseWriter) bool   // answers instead of the webhook handler, if it returns true
	delay   func(nth int64) <-chan time.Time // what the nth wake-up waits for, if set
	wakeups atomic.Int64
}

func newFakeFunction(t *testing.T) *fakeFunction {
	t.Helper()
	f := &fakeFunction{awake: func() {}, origins: []string{origin}, health: `{"status":"ok","mode":"outbox","channels":"private","version":"abc"}`}
	log := slog.New(slog.DiscardHandler)
	webhook := web.Handle(log, "wake-up", (&relay.Webhook{Wake: func() {
		if f.relays.Load() {
			f.awake()
		}
	}}).ServeHTTP,
		web.Credential(web.NewSecrets([]string{secret}, web.Addresses{}, time.Now).Credential, nil))
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+webhookPath, func(w http.ResponseWriter, r *http.Request) {
		if nth := f.wakeups.Add(1); f.delay != nil {
			<-f.delay(nth)
		}
		if f.webhook == nil || !f.webhook(w) {
			webhook.ServeHTTP(w, r)
		}
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !f.date.IsZero() {
			w.Header().Set("Date", f.date.UTC().Format(http.TimeFormat))
		}
		_, _ = w.Write([]byte(f.health))
	})
	mux.HandleFunc("GET /selfcheck", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case f.self == nil:
			w.WriteHeader(http.StatusNotFound)
		case r.Header.Get("Authorization") != "Bearer "+secret:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_ = json.NewEncoder(w).Encode(f.self)
		}
	})
	mux.HandleFunc("POST /pusher/auth", func(http.ResponseWriter, *http.Request) {})
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.CORS(f.origins, mux).ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// text is a finding as one line, for messages.
func (f finding) text() string {
	return strings.Join([]string{string(f.Verdict), f.Check, f.Found, f.Remedy}, " | ")
}
