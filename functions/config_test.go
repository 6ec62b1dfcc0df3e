package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"roomcast/shared/web"
)

// complete is the least environment that is right.
func complete(more ...string) []string {
	return append([]string{
		"DATABASE_URL=postgres://relay:database-password@db.example:5432/postgres",
		"WEBHOOK_SECRET=old-webhook-secret-0123456789abcdef,new-webhook-secret-0123456789abcdef",
		"PUSHER_APP_ID=1", "PUSHER_KEY=key", "PUSHER_SECRET=pusher-secret-value", "PUSHER_CLUSTER=eu",
		"SUPABASE_URL=https://ref.supabase.co",
	}, more...)
}

func TestConfigDefaults(t *testing.T) {
	c, err := loadConfig(complete())
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 8080 || c.MetricsPort != 9091 || c.IdleExit != 5*time.Minute || !c.PusherTLS || len(c.kinds) != 1 || c.kinds[0] != "private" {
		t.Errorf("defaults are %+v", c)
	}
	if len(c.WebhookSecret) != 2 {
		t.Errorf("%d webhook secrets, want both of the rotation", len(c.WebhookSecret))
	}
}

// Everything that is wrong is said at once, and no secret with it.
func TestConfigSaysAllFaultsAtOnce(t *testing.T) {
	_, err := loadConfig([]string{
		"PORT=eighty", "CLIENT_RATE=NaN", "PRESENCE_EVENTS=1", "CLAIM_LEASE=1s", "LINGER=long", "PUSHER_TLS=perhaps", "IDLE_EXIT=soon", "LOG_LEVEL=loud", "ROOM_CHANNELS=private,secret,encrypted", "PACKED_ROOMS=lobby",
		"ALLOWED_ORIGINS=chat.example", "WEBHOOK_SECRET=a-secret-of-thirty-one-chars-31", "PARITY_SECRET=short", "TRUSTED_PROXIES=-1", "INBOX=perhaps", "DATABASE_CA=/prod-ca.crt",
		"ROOM_COLUMN=room id", "MESSAGES_TABLES=messages?select=*", "SUPABASE_URL=ref.supabase.co", "DATABASE_URL=postgres://u:hunter2@h/d",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"PORT", "CLIENT_RATE", "PRESENCE_EVENTS", "PUSHER_TLS", "IDLE_EXIT", "LOG_LEVEL", "CLAIM_LEASE", "LINGER", "ROOM_CHANNELS", "PACKED_ROOMS", "PUSHER_ENCRYPTION_KEY", "ALLOWED_ORIGINS",
		"WEBHOOK_SECRET", "PARITY_SECRET", "TRUSTED_PROXIES", "INBOX", "DATABASE_CA", "ROOM_COLUMN", "MESSAGES_TABLES", "SUPABASE_URL", "PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET", "PUSHER_CLUSTER"} {
		if !strings.Contains(err.Error(), want+":") {
			t.Errorf("%s is not mentioned in:\n%v", want, err)
		}
	}
	for _, secret := range []string{"hunter2", "short", "thirty-one"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error has a secret: %v", err)
		}
	}
}

// PACKED_ROOMS names rooms that can have a packed channel, and does something.
func TestConfigPackedRooms(t *testing.T) {
	for _, tc := range []struct{ channels, rooms, want string }{
		{"private,packed", "lobby, é x", ""},
		{"packed", "lobby", ""},
		{"packed", "", ""},
		{"private", "lobby", "PACKED_ROOMS: has no effect without packed among ROOM_CHANNELS"},
		{"presence", ",", "PACKED_ROOMS: has no effect without packed among ROOM_CHANNELS"},
		{"private,packed", "lobby,", `PACKED_ROOMS: "": room id does not fit`},
		{"packed", strings.Repeat("x", 145), "PACKED_ROOMS: \"xxx"},
	} {
		c, err := loadConfig(complete("ROOM_CHANNELS="+tc.channels, "PACKED_ROOMS="+tc.rooms))
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s of %q: %v", tc.channels, tc.rooms, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s of %q: %v, want %s", tc.channels, tc.rooms, err, tc.want)
		case tc.rooms == "lobby, é x" && !slices.Equal(c.PackedRooms, []string{"lobby", "é x"}):
			t.Errorf("rooms are %q", c.PackedRooms)
		case tc.rooms == "" && len(c.PackedRooms) != 0:
			t.Errorf("no rooms are %q", c.PackedRooms)
		}
	}
}

func TestForwardOnlyNeedsMembership(t *testing.T) {
	env := complete()[1:]
	if _, err := loadConfig(env); err == nil || !strings.Contains(err.Error(), "SUPABASE_KEY") {
		t.Errorf("without DATABASE_URL and SUPABASE_KEY: %v", err)
	}
	for _, more := range []string{"SUPABASE_KEY=sb_publishable_x", "ROOM_CHANNELS=public"} {
		if c, err := loadConfig(append(env, more)); err != nil || !c.forwardOnly() {
			t.Errorf("with %s: %v", more, err)
		}
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	c, err := loadConfig(complete("PARITY_SECRET=parity-secret-of-32-characters-00", "PUSHER_ENCRYPTION_KEY=ZW5jcnlwdGlvbi1rZXktdmFsdWUtb2YtMzItYnl0ZXM=", "SUPABASE_JWT_SECRET=jwt-secret-value"))
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %v", c, c, c, c.LogValue())
	for _, secret := range []string{"database-password", "old-webhook-secret", "new-webhook-secret", "parity-secret", "pusher-secret-value", "ZW5jcnlwdGlvbi1rZXktdmFsdWUtb2YtMzItYnl0ZXM=", "jwt-secret-value"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%s was printed", secret)
		}
	}
}

// A secret that can be guessed, or that opens two doors, is refused; several are taken
// while one is being rotated.
func TestConfigSecrets(t *testing.T) {
	const one, two = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	for _, tc := range []struct{ webhook, parity, want string }{
		{one, "", ""},
		{one + ", " + two, "", ""},
		{one, two + "," + two + "x", ""},
		{one[:31], "", "WEBHOOK_SECRET: must have at least 32 characters"},
		{one + ",short", "", "WEBHOOK_SECRET: must have at least 32 characters"},
		{one, "short", "PARITY_SECRET: must have at least 32 characters"},
		{one, one, "PARITY_SECRET: must be another than WEBHOOK_SECRET"},
		{one + "," + two, one + "y," + two, "PARITY_SECRET: must be another than WEBHOOK_SECRET"},
		{" , ", "", "WEBHOOK_SECRET: is missing"},
	} {
		_, err := loadConfig(complete("WEBHOOK_SECRET="+tc.webhook, "PARITY_SECRET="+tc.parity))
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q and %q: %v, want %q", tc.webhook, tc.parity, err, tc.want)
		}
	}
}

// Fly's header is believed on Fly alone, X-Forwarded-For by the number of proxies.
func TestConfigAddresses(t *testing.T) {
	fly := []string{"FLY_APP_NAME=chat", "FLY_MACHINE_ID=148e"}
	for _, tc := range []struct {
		name   string
		more   []string
		lambda bool
		want   web.Addresses
	}{
		{"Cloud Run", nil, false, web.Addresses{}},
		{"Cloud Run, its proxy named", []string{"TRUSTED_PROXIES=1"}, false, web.Addresses{Proxies: 1}},
		{"Fly", fly, false, web.Addresses{Fly: true}},
		{"half of Fly", fly[:1], false, web.Addresses{}},
		{"Lambda", append(fly, "TRUSTED_PROXIES=1"), true, web.Addresses{}},
	} {
		c, err := loadConfig(complete(tc.more...))
		if got := c.addresses(tc.lambda); err != nil || got != tc.want {
			t.Errorf("%s: %+v, %v, want %+v", tc.name, got, err, tc.want)
		}
	}
}
