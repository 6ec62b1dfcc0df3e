package main

import "testing"

func TestRelayURL(t *testing.T) {
	for _, c := range []struct{ owner, relay string }{
		{"postgres://postgres:x@db.abc.supabase.co:5432/postgres", "postgres://roomcast_relay:new@db.abc.supabase.co:5432/postgres"},
		{"postgres://postgres.abc:x@aws-0-eu.pooler.supabase.com:5432/postgres?sslmode=require", "postgres://roomcast_relay.abc:new@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=require"},
		{"postgres://postgres.abc:x@aws-0-eu.pooler.supabase.com/postgres", "postgres://roomcast_relay.abc:new@aws-0-eu.pooler.supabase.com:6543/postgres"},
		{"postgres://first.last:x@localhost/chat", "postgres://roomcast_relay:new@localhost/chat"},
	} {
		if got, err := relayURL(c.owner, "new", false); err != nil || got != c.relay {
			t.Errorf("%s: %s, %v", c.owner, got, err)
		}
	}
}

// With the project's certificate the printed URL verifies in full, and no file has to
// travel.
func TestRelayURLVerifies(t *testing.T) {
	got, err := relayURL("postgres://postgres.abc:x@aws-0-eu.pooler.supabase.com:5432/postgres?sslmode=require&sslrootcert=prod-ca-2021.crt", "new", true)
	if want := "postgres://roomcast_relay.abc:new@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=verify-full"; err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	if want := (wanted{secrets: map[string]string{"DATABASE_URL": "postgres://u:p@db.abc.supabase.co/postgres"}}); !unverified(want) {
		t.Error("an unverified connection is not told")
	}
}

// RFC 7677, section 3: the exchange for "pencil". Its client proof and server
// signature follow from these two keys.
func TestScram(t *testing.T) {
	salt := []byte{0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81}
	const want = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if got, err := scram("pencil", salt); err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
}
