package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// settings is the function's environment as far as operators need it, and what is
// theirs alone. Nothing is required here: each command, and each of the doctor's
// checks, says what it misses.
type settings struct {
	OwnerURL    string `env:"OWNER_DATABASE_URL"` // the owner of the chat's tables
	DatabaseURL string `env:"DATABASE_URL"`       // what the function uses
	DatabaseCA  string `env:"DATABASE_CA"`        // PEM; both are verified by it
	FunctionURL string `env:"ROOMCAST_URL"`       // where it answers; by default the host of the wake-up URL

	WebhookSecrets []string `env:"WEBHOOK_SECRET"`

	PusherAppID         string `env:"PUSHER_APP_ID"`
	PusherKey           string `env:"PUSHER_KEY"`
	PusherSecret        string `env:"PUSHER_SECRET"`
	PusherCluster       string `env:"PUSHER_CLUSTER"`
	PusherHost          string `env:"PUSHER_HOST"`
	PusherTLS           bool   `env:"PUSHER_TLS" envDefault:"true"`
	PusherEncryptionKey string `env:"PUSHER_ENCRYPTION_KEY"`

	UserToken   string `env:"USER_TOKEN"` // of a member, for tail
	SupabaseURL string `env:"SUPABASE_URL"`
	JWTSecret   string `env:"SUPABASE_JWT_SECRET"`

	RoomChannels   []string `env:"ROOM_CHANNELS" envDefault:"private"`
	PackedRooms    []string `env:"PACKED_ROOMS"`
	AllowedOrigins []string `env:"ALLOWED_ORIGINS"`

	environ map[string]string // as it is, to be compared with the function's
}

var errSettings = errors.New("the environment cannot be read: PUSHER_TLS must be true or false")

// loadSettings reads the environment. Its error does not repeat any value.
func loadSettings(environ []string) (settings, error) {
	var s settings
	if err := env.ParseWithOptions(&s, env.Options{Environment: env.ToMap(environ)}); err != nil {
		return s, errSettings // it is the only variable that is not text
	}
	s.environ = env.ToMap(environ)
	for _, list := range []*[]string{&s.WebhookSecrets, &s.RoomChannels, &s.PackedRooms, &s.AllowedOrigins} {
		for i := range *list {
			(*list)[i] = strings.TrimSpace((*list)[i])
		}
		*list = slices.DeleteFunc(*list, func(v string) bool { return v == "" })
	}
	return s, nil
}

// ownerURL is the database as the owner of the chat's tables sees it.
func (s settings) ownerURL() string { return cmp.Or(s.OwnerURL, s.DatabaseURL) }

var errNoDatabase = errors.New("OWNER_DATABASE_URL is missing: the database as the owner of the chat's tables sees it")

// operator opens the outbox for an operator. Close it.
func (s settings) operator() (admin.Operator, error) {
	if s.ownerURL() == "" {
		return admin.Operator{}, errNoDatabase
	}
	return admin.OpenOperator(s.ownerURL(), outbox.WithCA(s.DatabaseCA))
}

// connect opens one connection. Its error does not repeat the URL, which holds a
// password.
func (s settings) connect(ctx context.Context, databaseURL string) (*pgx.Conn, error) {
	config, err := outbox.ParseURL(databaseURL, s.DatabaseCA)
	if err != nil {
		return nil, err
	}
	conn := config.ConnConfig
	conn.ConnectTimeout = 5 * time.Second
	conn.RuntimeParams["application_name"] = "roomcast-ops"
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec // right behind every pooler, as the relay's
	return pgx.ConnectConfig(ctx, conn)
}

// pusher makes a client of the app, without connecting.
func (s settings) pusher() (*pusher.Client, error) {
	return pusher.New(pusher.Config{
		AppID: s.PusherAppID, Key: s.PusherKey, Secret: s.PusherSecret, Cluster: s.PusherCluster,
		Host: s.PusherHost, TLS: s.PusherTLS, EncryptionKey: s.PusherEncryptionKey,
	})
}

// kinds are the channels of rooms; see channels for which room has which.
func (s settings) kinds() ([]event.ChannelKind, error) {
	var kinds []event.ChannelKind
	for _, name := range s.RoomChannels {
		kind, err := event.ParseChannelKind(name)
		if err != nil {
			return nil, fmt.Errorf("ROOM_CHANNELS: %w", err)
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds, nil
}

// channels says which of them a room has.
func (s settings) channels() (event.Channels, error) {
	kinds, err := s.kinds()
	return event.NewChannels(kinds, s.PackedRooms), err
}
