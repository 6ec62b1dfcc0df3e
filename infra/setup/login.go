package main

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"roomcast/shared/outbox"
)

// relayRole is the role that may execute the relay's functions and nothing else.
const relayRole = "roomcast_relay"

// newPassword has 130 bits, and no character that a URL would have to escape.
func newPassword() string { return rand.Text() }

// relayURL is the owner's URL for the relay's role, verified in full where DATABASE_CA is
// known. Supavisor takes the project
// behind the role's name, and shares its connections in transaction mode, on 6543.
func relayURL(ownerURL, password string, verified bool) (string, error) {
	u, err := url.Parse(ownerURL)
	if err != nil {
		return "", fmt.Errorf("OWNER_DATABASE_URL cannot be parsed")
	}
	user := relayRole
	if strings.HasSuffix(u.Hostname(), ".pooler.supabase.com") {
		if _, project, ok := strings.Cut(u.User.Username(), "."); ok {
			user += "." + project
		}
		if u.Port() == "" || u.Port() == "5432" {
			u.Host = u.Hostname() + ":6543"
		}
	}
	u.User = url.UserPassword(user, password)
	if verified {
		query := u.Query()
		query.Del("sslrootcert")
		query.Set("sslmode", "verify-full")
		u.RawQuery = query.Encode()
	}
	return u.String(), nil
}

// unverified reports whether the function's connection goes elsewhere than to this
// machine without the server's certificate being checked.
func unverified(want wanted) bool {
	config, err := outbox.ParseURL(want.secrets["DATABASE_URL"], want.secrets["DATABASE_CA"])
	if err != nil {
		return false // the connection has said so
	}
	conn := config.ConnConfig
	return !outbox.IsLocal(conn.Host) && (conn.TLSConfig == nil || conn.TLSConfig.InsecureSkipVerify && conn.TLSConfig.VerifyPeerCertificate == nil)
}

// letIn gives the relay's role its password, if it is a new one, and tries it.
func (db *database) letIn(ctx context.Context, want wanted, say func(did, what string)) error {
	databaseURL := want.secrets["DATABASE_URL"]
	if want.newLogin {
		u, err := url.Parse(databaseURL)
		if err != nil {
			return fmt.Errorf("DATABASE_URL cannot be parsed")
		}
		password, _ := u.User.Password()
		salt := make([]byte, 16)
		_, _ = rand.Read(salt) // never fails (crypto/rand)
		verifier, err := scram(password, salt)
		if err != nil {
			return fmt.Errorf("password: %w", err)
		}
		// Utility statements take no parameters; a verifier has no quote in it.
		if _, err := db.conn.Exec(ctx, `alter role `+relayRole+` login password '`+verifier+`'`); err != nil {
			return fmt.Errorf("password of %s: %w", relayRole, err)
		}
		say("let in", relayRole+", by a new password")
	}
	conn, err := connect(ctx, databaseURL, want.secrets["DATABASE_CA"])
	if err != nil {
		return fmt.Errorf("DATABASE_URL does not let the function in (take it out of the secrets file for a new password): %w", err)
	}
	return conn.Close(ctx)
}

// scramRounds is Postgres' own default, scram_iterations.
const scramRounds = 4096

// scram makes the verifier that Postgres stores for a password (RFC 5803, as in pg_authid), so
// that the password itself is neither sent nor logged by the server. psql's \password does
// the same.
func scram(password string, salt []byte) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramRounds, sha256.Size)
	if err != nil {
		return "", err
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramRounds, b64(salt), b64(stored[:]), b64(sign(salted, "Server Key"))), nil
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
