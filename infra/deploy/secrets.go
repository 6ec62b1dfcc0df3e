package main

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	fly "github.com/superfly/fly-go"

	"roomcast/infra/secretsfile"
)

// secretNames are the settings of functions/config.go that are set as secrets: what
// must stay hidden, and what differs from one project to the next. They are read
// from the environment; a secrets file may name others as well.
func secretNames() []string {
	return []string{
		"DATABASE_URL", "DATABASE_CA", "WEBHOOK_SECRET", "PARITY_SECRET",
		"PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET", "PUSHER_CLUSTER", "PUSHER_HOST", "PUSHER_TLS", "PUSHER_ENCRYPTION_KEY",
		"SUPABASE_URL", "SUPABASE_JWT_SECRET", "SUPABASE_KEY",
		"ROOM_CHANNELS", "PACKED_ROOMS", "ALLOWED_ORIGINS", "CLIENT_MODE", "INBOX", "CANARY",
	}
}

// needed are the secrets without which the function cannot start, whatever its mode.
// The function itself knows the finer rules and tells them in its log, which a
// deploy that fails over them prints.
func needed() []string {
	return []string{"PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET"}
}

// readSecrets reads the environment, then the file, which wins. A file that is not
// there is an error only if it was asked for by name.
func readSecrets(path string, asked bool, getenv func(string) string) (map[string]string, error) {
	secrets := map[string]string{}
	for _, name := range secretNames() {
		if value := getenv(name); value != "" {
			secrets[name] = value
		}
	}
	file, err := secretsfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return secrets, nil
	}
	maps.Copy(secrets, file.Values())
	return secrets, err
}

// A secretRecord says by name which value of a secret a machine was given. Fly does
// not tell the values, so a record has two halves: Fly's digest, which says that
// nobody has changed the value since, and a print of our own, which says that the
// value in our hands is that one.
type secretRecord map[string]string // name to digest + ":" + print

// secretRounds makes guessing a weak value from its print slow: the metadata can be
// read by anyone who may look at the app. It takes some 30 ms a secret.
const secretRounds = 50_000

// secretPrints makes a print of each value, salted with the app and the name.
func secretPrints(app string, secrets map[string]string, rounds int) map[string]string {
	prints := make(map[string]string, len(secrets))
	for name, value := range secrets {
		key, err := pbkdf2.Key(sha256.New, value, []byte("roomcast "+app+" "+name), rounds, 8)
		if err != nil {
			panic(err) // only in FIPS mode, over a salt that is too short
		}
		prints[name] = hex.EncodeToString(key)
	}
	return prints
}

// newRecord combines our prints with the digests that Fly has now.
func newRecord(prints map[string]string, onFly []fly.AppSecret) secretRecord {
	record := secretRecord{}
	for _, s := range onFly {
		if print, ok := prints[s.Name]; ok {
			record[s.Name] = s.Digest + ":" + print
		}
	}
	return record
}

// String is the record as metadata: "NAME=digest:print,…".
func (r secretRecord) String() string {
	parts := make([]string, 0, len(r))
	for _, name := range slices.Sorted(maps.Keys(r)) {
		parts = append(parts, name+"="+r[name])
	}
	return strings.Join(parts, ",")
}

// recordOf reads the record of a machine; what cannot be read was not recorded.
func recordOf(m *fly.Machine) secretRecord {
	record := secretRecord{}
	for part := range strings.SplitSeq(m.GetMetadataByKey(metaSecrets), ",") {
		if name, value, ok := strings.Cut(part, "="); ok {
			record[name] = value
		}
	}
	return record
}

// webhookSecret is the one wake-ups are sent with: the first, while two are accepted.
func webhookSecret(secrets map[string]string) string {
	first, _, _ := strings.Cut(secrets["WEBHOOK_SECRET"], ",")
	return strings.TrimSpace(first)
}
