package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
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
	Canary         bool     `env:"CANARY"`          // once a minute, while awake, the function hears itself
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
	ClaimLease      time.Duration `env:"CLAIM_LEASE" envDefault:"4s"` // how long a dead relay's rooms wait for another
	Linger          time.Duration `env:"LINGER" envDefault:"20s"`     // how long the relay polls after the last row
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
	place place               // what run has taken
}

// loadConfig reads the environment and reports everything that is wrong with it
// at once, by the names of the variables and never by their secret values.
func loadConfig(environ []string) (Config, error) {
	var c Config
	all, raw := env.ToMap(environ), map[string]Secret{}
	err := env.ParseWithOptions(&c, env.Options{Environment: all, OnSet: func(name string, _ any, _ bool) {
		if value := all[name]; value != "" {
			raw[name] = Secret(value)
		}
	}})
	var faults []error
	if all := (env.AggregateError{}); errors.As(err, &all) {
		for _, fault := range all.Errors {
			faults = append(faults, parseFault(fault))
		}
	} else if err != nil {
		faults = append(faults, err)
	}
	c.Raw = raw
	faults = append(faults, c.check()...)
	if len(faults) > 0 {
		return c, fmt.Errorf("configuration:\n%w", errors.Join(faults...))
	}
	return c, nil
}

// lookup reads one variable of an environment.
func lookup(environ []string) func(string) string {
	vars := env.ToMap(environ)
	return func(name string) string { return vars[name] }
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
		"Canary":          "CANARY: must be true or false",
		"TrustedProxies":  "TRUSTED_PROXIES: must be a number of proxies",
		"Port":            "PORT: must be a number from 0 to 65535",
		"MetricsPort":     "METRICS_PORT: must be a number from 0 to 65535",
		"IdleExit":        "IDLE_EXIT: must be a duration such as 5m, or 0 for never",
		"ClaimLease":      "CLAIM_LEASE: must be a duration such as 4s",
		"Linger":          "LINGER: must be a duration such as 20s",
		"LogLevel":        "LOG_LEVEL: must be debug, info, warn or error",
	}[parse.Name]
	return errors.New(cmp.Or(want, parse.Name+": cannot be read"))
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
