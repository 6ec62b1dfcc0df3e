package outboxtest

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// scramVerifier is what Postgres keeps of a password (RFC 5803), after one round of
// hashing in place of 4,096: 128 random bits need no stretching, and each connection of a
// test with the race detector would spend 10 ms on it.
func scramVerifier(password string) (string, error) {
	const salt = "a salt for tests"
	key, err := pbkdf2.Key(sha256.New, password, []byte(salt), 1, sha256.Size)
	if err != nil {
		return "", err
	}
	sign := func(text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$1:%s$%s:%s", text([]byte(salt)), text(stored[:]), text(sign("Server Key"))), nil
}
