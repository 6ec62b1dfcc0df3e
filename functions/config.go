package main

import (
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"roomcast/shared/browser"
	"roomcast/shared/event"
	"roomcast/shared/selfcheck"
	"roomcast/shared/web"
)

// Secret is a setting that never prints.
type Secret string

// String hides the value from every verb and from slog.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the value from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Config is everything the function can be told. This file is the only place
// where the environment is read.
type Config struct {
	DatabaseURL   Secret   `env:"DATABASE_URL"`
	DatabaseCA    string   `env:"DATABASE_CA"`    // PEM; the database's certificate is then verified in full
	WebhookSecret []Secret `env:"WEBHOOK_SECRET"` // any of them; two while one is being rotated
	ParitySecret  []Secret `env:"PARITY_SECRET"`  // likewise; empty: nobody may read the report

	PusherAppID         string `env:"PUSHER_APP_ID"`
	PusherKey           string `env:"PUSHER_KEY"`
	PusherSecret        Secret `env:"PUSHER_SECRET"`
	PusherCluster       string `env:"PUSHER_CLUSTER"`
	PusherHost          string `env:"PUSHER_HOST"`
	PusherTLS           bool   `env:"PUSHER_TLS" envDefault:"true"`
	PusherEncryptionKey Secret `env:"PUSHER_ENCRYPTION_KEY"`

	SupabaseURL       string `env:"SUPABASE_URL"`
	SupabaseJWTSecret Secret `env:"SUPABASE_JWT_SECRET"`
	SupabaseKey       Secret `env:"SUPABASE_KEY"`
	AllowAnonymous    bool   `env:"ALLOW_ANONYMOUS" envDefault:"true"`

	RoomChannels   []string `env:"ROOM_CHANNELS" envDefault:"private"`
	PackedRooms    []string `env:"PACKED_ROOMS"` // the rooms that have a packed channel; empty: all
	AllowedOrigins []string `env:"ALLOWED_ORIGINS"`
	ClientRate     float64  `env:"CLIENT_RATE" envDefault:"100"` // requests a second of one address; 0: no limit
	PresenceEvents bool     `env:"PRESENCE_EVENTS"`              // user-online and user-offline are published
	ClientMode     string   `env:"CLIENT_MODE" envDefault:"pusher"`
	Inbox          bool     `env:"INBOX"`           // room-activity is published to the members' personal channels
	TrustedProxies int      `env:"TRUSTED_PROXIES"` // how many in front add to X-Forwarded-For

	// Forward-only mode. Tables are named as table or schema.table.
	MessagesTables []string `env:"MESSAGES_TABLES" envDefault:"messages"`
	MembersTables  []string `env:"MEMBERS_TABLES" envDefault:"room_participants"` // also asked who may read
	RoomColumn     string   `env:"ROOM_COLUMN" envDefault:"room_id"`
	UserColumn     string   `env:"USER_COLUMN" envDefault:"user_id"`

	Host            string        `env:"LISTEN_HOST"`
	Port            uint16        `env:"PORT" envDefault:"8080"`
	MetricsPort     uint16        `env:"METRICS_PORT" envDefault:"9091"`
	IdleExit        time.Duration `env:"IDLE_EXIT" envDefault:"5m"`
	ClaimLease      time.Duration `env:"CLAIM_LEASE" envDefault:"15s"` // how long a dead relay's rooms wait for another
	Linger          time.Duration `env:"LINGER" envDefault:"20s"`      // how long the relay polls after the last row
	LambdaStreaming bool          `env:"LAMBDA_STREAMING"`
	LogLevel        slog.Level    `env:"LOG_LEVEL" envDefault:"info"`

	// Fly sets both in each of its machines.
	FlyApp     string `env:"FLY_APP_NAME"`
	FlyMachine string `env:"FLY_MACHINE_ID"`

	// Raw is what of all this the environment has, as it is there. Exported, since fmt
	// asks no unexported field's Secret how it prints.
	Raw map[string]Secret

	kinds []event.ChannelKind // RoomChannels, checked
	plan  browser.Plan        // ClientMode, checked
}

// maxClientRate is more than any machine answers: a higher limit is a mistake.
const maxClientRate = 1_000_000

// minSecret is the least length of a bearer secret, in characters.
const minSecret = 32

// maxProxies is more than anybody puts in front of a function.
const maxProxies = 10

// minLease is the shortest useful CLAIM_LEASE. Pusher's answer may take seconds, and
// what is answered after the lease is sent twice.
const minLease = 2 * time.Second

// loadConfig reads the environment and reports everything that is wrong with it
// at once, by the names of the variables and never by their secret values.
func loadConfig(environ []string) (Config, error) {
	var c Config
	err := env.ParseWithOptions(&c, env.Options{Environment: env.ToMap(environ)})
	var faults []error
	if all := (env.AggregateError{}); errors.As(err, &all) {
		for _, fault := range all.Errors {
			faults = append(faults, parseFault(fault))
		}
	} else if err != nil {
		faults = append(faults, err)
	}
	c.Raw = rawSettings(environ)
	faults = append(faults, c.check()...)
	if len(faults) > 0 {
		return c, fmt.Errorf("configuration:\n%w", errors.Join(faults...))
	}
	return c, nil
}

// parseFault names the variable of a parse error, which env calls by the field,
// and leaves out the value, which env repeats.
func parseFault(err error) error {
	var parse env.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	want := map[string]string{
		"PusherTLS":       "PUSHER_TLS: must be true or false",
		"AllowAnonymous":  "ALLOW_ANONYMOUS: must be true or false",
		"LambdaStreaming": "LAMBDA_STREAMING: must be true or false",
		"ClientRate":      "CLIENT_RATE: must be a number of requests a second, or 0 for no limit",
		"PresenceEvents":  "PRESENCE_EVENTS: must be true or false",
		"Inbox":           "INBOX: must be true or false",
		"TrustedProxies":  "TRUSTED_PROXIES: must be a number of proxies",
		"Port":            "PORT: must be a number from 0 to 65535",
		"MetricsPort":     "METRICS_PORT: must be a number from 0 to 65535",
		"IdleExit":        "IDLE_EXIT: must be a duration such as 5m, or 0 for never",
		"ClaimLease":      "CLAIM_LEASE: must be a duration such as 15s",
		"Linger":          "LINGER: must be a duration such as 20s",
		"LogLevel":        "LOG_LEVEL: must be debug, info, warn or error",
	}[parse.Name]
	return errors.New(cmp.Or(want, parse.Name+": cannot be read"))
}

// check finds what is missing or does not go together.
func (c *Config) check() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	need := func(name, value, why string) {
		if value == "" {
			fault("%s: is missing: %s", name, why)
		}
	}
	c.checkSecrets(fault)
	c.checkDatabase(fault)
	need("PUSHER_APP_ID", c.PusherAppID, "see App Keys in Pusher's dashboard")
	need("PUSHER_KEY", c.PusherKey, "see App Keys in Pusher's dashboard")
	need("PUSHER_SECRET", string(c.PusherSecret), "see App Keys in Pusher's dashboard")
	if c.PusherHost == "" {
		need("PUSHER_CLUSTER", c.PusherCluster, "such as eu; or PUSHER_HOST for a compatible server")
	}
	if c.SupabaseURL == "" && c.SupabaseJWTSecret == "" {
		fault("SUPABASE_URL: is missing: https://<ref>.supabase.co (or SUPABASE_JWT_SECRET for a legacy project)")
	}
	if c.SupabaseURL != "" {
		if u, err := url.Parse(c.SupabaseURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			fault("SUPABASE_URL: must be an address such as https://<ref>.supabase.co")
		}
	}
	if !(c.ClientRate >= 0 && c.ClientRate <= maxClientRate) { // written so that NaN fails, too
		fault("CLIENT_RATE: must be from 0 to %d", maxClientRate)
	}
	if c.TrustedProxies < 0 || c.TrustedProxies > maxProxies {
		fault("TRUSTED_PROXIES: must be from 0 to %d", maxProxies)
	}
	if c.Inbox && c.forwardOnly() {
		fault("INBOX: needs DATABASE_URL")
	}
	if c.PresenceEvents && (c.forwardOnly() || !slices.Contains(c.RoomChannels, string(event.Presence))) {
		fault("PRESENCE_EVENTS: needs DATABASE_URL, and presence among ROOM_CHANNELS")
	}
	if c.IdleExit < 0 {
		fault("IDLE_EXIT: must not be negative")
	}
	if c.ClaimLease < minLease {
		fault("CLAIM_LEASE: must be %s at least: a batch must fit in it", minLease)
	}
	if c.Linger <= 0 {
		fault("LINGER: must be more than 0")
	}
	var err error
	if c.plan, err = browser.ParsePlan(c.ClientMode); err != nil {
		fault("CLIENT_MODE: %w", err)
	}
	c.checkChannels(fault)
	c.checkPackedRooms(fault)
	c.checkOrigins(fault)
	c.checkTables(fault)
	return faults
}

// checkSecrets: a secret of 32 characters, as openssl rand -hex 16 makes it, cannot be
// guessed at any speed. The two are apart, since the one stands in the database.
func (c *Config) checkSecrets(fault func(string, ...any)) {
	for _, of := range []struct {
		name   string
		values *[]Secret
	}{{"WEBHOOK_SECRET", &c.WebhookSecret}, {"PARITY_SECRET", &c.ParitySecret}} {
		for i, s := range *of.values {
			(*of.values)[i] = Secret(strings.TrimSpace(string(s)))
		}
		*of.values = slices.DeleteFunc(*of.values, func(s Secret) bool { return s == "" })
		if slices.ContainsFunc(*of.values, func(s Secret) bool { return len(s) < minSecret }) {
			fault("%s: must have at least %d characters; make one with: openssl rand -hex 32", of.name, minSecret)
		}
	}
	if len(c.WebhookSecret) == 0 {
		fault("WEBHOOK_SECRET: is missing: the bearer token that roomcast.configure was given")
	}
	if slices.ContainsFunc(c.ParitySecret, func(s Secret) bool { return slices.Contains(c.WebhookSecret, s) }) {
		fault("PARITY_SECRET: must be another than WEBHOOK_SECRET")
	}
}

func (c *Config) checkDatabase(fault func(string, ...any)) {
	if c.DatabaseCA == "" {
		return
	}
	if c.forwardOnly() {
		fault("DATABASE_CA: has no effect without DATABASE_URL")
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(c.DatabaseCA)) {
		fault("DATABASE_CA: holds no certificate in PEM (-----BEGIN CERTIFICATE-----), with its line breaks")
	}
}

// checkTables: the names become parts of PostgREST's URL and keys of a record.
func (c *Config) checkTables(fault func(string, ...any)) {
	column := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	table := regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*$`)
	for _, of := range []struct {
		name   string
		values []string
		plain  *regexp.Regexp
	}{
		{"ROOM_COLUMN", []string{c.RoomColumn}, column}, {"USER_COLUMN", []string{c.UserColumn}, column},
		{"MESSAGES_TABLES", c.MessagesTables, table}, {"MEMBERS_TABLES", c.MembersTables, table},
	} {
		for i, value := range of.values {
			of.values[i] = strings.TrimSpace(value)
			if !of.plain.MatchString(of.values[i]) {
				fault("%s: %q is not a plain name", of.name, value)
			}
		}
	}
}

func (c *Config) checkChannels(fault func(string, ...any)) {
	for _, name := range c.RoomChannels {
		kind, err := event.ParseChannelKind(strings.TrimSpace(name))
		if err != nil {
			fault("ROOM_CHANNELS: %w", err)
		} else if !slices.Contains(c.kinds, kind) {
			c.kinds = append(c.kinds, kind)
		}
	}
	if len(c.RoomChannels) == 0 {
		fault("ROOM_CHANNELS: is empty: name at least one of private, presence, encrypted, public, packed")
	}
	if slices.Contains(c.kinds, event.Encrypted) && c.PusherEncryptionKey == "" {
		fault("PUSHER_ENCRYPTION_KEY: is missing: ROOM_CHANNELS asks for encrypted; make one with: openssl rand -base64 32")
	}
	if key, err := base64.StdEncoding.DecodeString(string(c.PusherEncryptionKey)); c.PusherEncryptionKey != "" && (err != nil || len(key) != 32) {
		fault("PUSHER_ENCRYPTION_KEY: must be the base64 of 32 bytes; make one with: openssl rand -base64 32")
	}
	guarded := slices.ContainsFunc(c.kinds, func(k event.ChannelKind) bool { return k != event.Public })
	if c.forwardOnly() && guarded && (c.SupabaseKey == "" || c.SupabaseURL == "") {
		fault("DATABASE_URL: is missing; for forward-only mode without it, SUPABASE_URL and SUPABASE_KEY are needed to ask for membership")
	}
}

func (c *Config) checkPackedRooms(fault func(string, ...any)) {
	if len(c.PackedRooms) > 0 && !slices.Contains(c.kinds, event.Packed) {
		fault("PACKED_ROOMS: has no effect without packed among ROOM_CHANNELS")
	}
	for i, room := range c.PackedRooms {
		room = strings.TrimSpace(room)
		c.PackedRooms[i] = room
		if _, err := event.ChannelName(event.Packed, room); err != nil {
			fault("PACKED_ROOMS: %q: %w", room, err)
		}
	}
}

func (c *Config) checkOrigins(fault func(string, ...any)) {
	for i, origin := range c.AllowedOrigins {
		origin = strings.TrimSuffix(strings.TrimSpace(origin), "/")
		c.AllowedOrigins[i] = origin
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Host == "" || u.Scheme == "" || u.Path != "") {
			fault("ALLOWED_ORIGINS: %q must be an origin such as https://chat.example", origin)
		}
	}
}

// rawSettings are the settings of Config that the environment has, as it has them.
func rawSettings(environ []string) map[string]Secret {
	raw, all := map[string]Secret{}, env.ToMap(environ)
	params, err := env.GetFieldParams(&Config{})
	if err != nil {
		return raw // ParseWithOptions has said why
	}
	for _, p := range params {
		if value := all[p.Key]; value != "" {
			raw[p.Key] = Secret(value)
		}
	}
	return raw
}

// prints are the settings' fingerprints under a secret that the caller has shown.
func (c *Config) prints(secret string) map[string]string {
	prints := make(map[string]string, len(c.Raw))
	for name, value := range c.Raw {
		prints[name] = selfcheck.Print(secret, name, string(value))
	}
	return prints
}

// mode is outbox, or forward-only.
func (c *Config) mode() string {
	if c.forwardOnly() {
		return "forward-only"
	}
	return "outbox"
}

// forwardOnly: without a database there is nothing but the webhook's own row.
func (c *Config) forwardOnly() bool { return c.DatabaseURL == "" }

func (c *Config) address(port uint16) string { return net.JoinHostPort(c.Host, fmt.Sprint(port)) }

// addresses: Fly's header counts on Fly only, where its proxy sets it; on Lambda the
// platform names the caller, whatever else is set.
func (c *Config) addresses(lambda bool) web.Addresses {
	if lambda {
		return web.Addresses{}
	}
	return web.Addresses{Fly: c.FlyApp != "" && c.FlyMachine != "", Proxies: c.TrustedProxies}
}

func plainText(secrets []Secret) []string {
	out := make([]string, len(secrets))
	for i, s := range secrets {
		out[i] = string(s)
	}
	return out
}

// LogValue is what a start-up may say of its configuration.
func (c *Config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("mode", c.mode()),
		slog.String("pusher_app", c.PusherAppID),
		slog.String("pusher", cmp.Or(c.PusherHost, c.PusherCluster)),
		slog.Any("channels", c.kinds),
		slog.Any("packed_rooms", c.PackedRooms),
		slog.Any("origins", c.AllowedOrigins),
		slog.Duration("idle_exit", c.IdleExit),
	)
}
