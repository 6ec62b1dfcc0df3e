package main

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"roomcast/functions/authorize"
	"roomcast/shared/browser"
	"roomcast/shared/event"
	"roomcast/shared/token"
)

// maxClientRate is more than any machine answers: a higher limit is a mistake.
const maxClientRate = 1_000_000

// minSecret is the least length of a bearer secret, in characters.
const minSecret = 32

// maxProxies is more than anybody puts in front of a function.
const maxProxies = 10

// minLease is the shortest useful CLAIM_LEASE. Pusher's answer may take seconds, and
// what is answered after the lease is sent twice.
const minLease = 2 * time.Second

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
	if c.SupabaseURL != "" && !token.IsProjectURL(c.SupabaseURL) {
		fault("SUPABASE_URL: must be an address such as https://<ref>.supabase.co")
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
	if c.Canary && c.forwardOnly() {
		fault("CANARY: needs DATABASE_URL")
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
	column := authorize.IsPlainName
	table := func(name string) bool {
		schema, rest, qualified := strings.Cut(name, ".")
		return column(schema) && (!qualified || column(rest))
	}
	for _, of := range []struct {
		name   string
		values []string
		plain  func(string) bool
	}{
		{"ROOM_COLUMN", []string{c.RoomColumn}, column}, {"USER_COLUMN", []string{c.UserColumn}, column},
		{"MESSAGES_TABLES", c.MessagesTables, table}, {"MEMBERS_TABLES", c.MembersTables, table},
	} {
		for i, value := range of.values {
			of.values[i] = strings.TrimSpace(value)
			if !of.plain(of.values[i]) {
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
		if _, err := event.ChannelName(event.Packed, event.RoomKey(room)); err != nil {
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
