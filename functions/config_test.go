package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
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
		"ALLOWED_ORIGINS=chat.example", "WEBHOOK_SECRET=short", "SUPABASE_URL=ref.supabase.co", "DATABASE_URL=postgres://u:hunter2@h/d",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"PORT", "CLIENT_RATE", "PRESENCE_EVENTS", "PUSHER_TLS", "IDLE_EXIT", "LOG_LEVEL", "CLAIM_LEASE", "LINGER", "ROOM_CHANNELS", "PACKED_ROOMS", "PUSHER_ENCRYPTION_KEY", "ALLOWED_ORIGINS",
		"WEBHOOK_SECRET", "SUPABASE_URL", "PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET", "PUSHER_CLUSTER"} {
		if !strings.Contains(err.Error(), want+":") {
			t.Errorf("%s is not mentioned in:\n%v", want, err)
		}
	}
	for _, secret := range []string{"hunter2", "short"} {
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
	c, err := loadConfig(complete("PUSHER_ENCRYPTION_KEY=encryption-key-value", "SUPABASE_JWT_SECRET=jwt-secret-value"))
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %v", c, c, c, c.LogValue())
	for _, secret := range []string{"database-password", "old-webhook-secret", "new-webhook-secret", "pusher-secret-value", "encryption-key-value", "jwt-secret-value"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%s was printed", secret)
		}
	}
}
