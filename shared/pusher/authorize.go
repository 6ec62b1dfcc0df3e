package pusher

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"roomcast/shared/event"
)

// All three signed strings of the protocol share one key and one alphabet
// (https://pusher.com/docs/channels/library_auth_reference/auth-signatures/):
//
//	private   <socket>:<channel>
//	presence  <socket>:<channel>:<member as JSON>
//	user      <socket>::user::<user as JSON>
//
// so a "channel name" such as `:user::{"id":"1"}` would turn a private authorization into a
// sign-in as anyone. pusher-http-go signs whatever it is given. Here every name is checked
// against the full grammar, and for its prefix, before anything is signed; a colon never passes.
// These few lines sign on their own because the library takes only string values in a
// member's info; a test holds them to its answers.

// Member is who a presence channel shows its other members.
type Member struct {
	UserID string         // 1 to 128 characters
	Info   map[string]any // optional; at most 1 kB as JSON; every member of the channel sees it
}

// AuthorizePrivate signs the subscription of one connection to a private- channel, except
// encrypted ones. It returns the JSON a browser hands to Pusher.
// Errors: ErrSocketID, ErrChannel.
func (c *Client) AuthorizePrivate(socketID, channel string) ([]byte, error) {
	if isEncrypted(channel) {
		return nil, fmt.Errorf("authorize private: %w", ErrChannel)
	}
	if err := checkSubscription(socketID, channel, prefixPrivate); err != nil {
		return nil, fmt.Errorf("authorize private: %w", err)
	}
	return []byte(`{"auth":"` + c.sign(socketID+":"+channel) + `"}`), nil // a slug and hex: nothing to escape
}

// AuthorizeEncrypted is AuthorizePrivate for private-encrypted- channels. The returned JSON
// includes the channel's shared secret, with which the browser decrypts.
// Errors: ErrSocketID, ErrChannel, ErrNoEncryptionKey.
func (c *Client) AuthorizeEncrypted(socketID, channel string) ([]byte, error) {
	if err := checkSubscription(socketID, channel, prefixEncrypted); err != nil {
		return nil, fmt.Errorf("authorize encrypted: %w", err)
	}
	if c.encryptionKey == nil {
		return nil, fmt.Errorf("authorize encrypted: %w", ErrNoEncryptionKey)
	}
	// The channel's key is SHA-256 of its name followed by the master key.
	secret := sha256.Sum256(append([]byte(channel), c.encryptionKey...))
	return marshal(authorization{
		Auth:         c.sign(socketID + ":" + channel),
		SharedSecret: base64.StdEncoding.EncodeToString(secret[:]),
	})
}

// AuthorizePresence signs the subscription of one connection to a presence- channel as member.
// Errors: ErrSocketID, ErrChannel, ErrUser.
func (c *Client) AuthorizePresence(socketID, channel string, member Member) ([]byte, error) {
	if err := checkSubscription(socketID, channel, prefixPresence); err != nil {
		return nil, fmt.Errorf("authorize presence: %w", err)
	}
	data, err := memberJSON(member)
	if err != nil {
		return nil, fmt.Errorf("authorize presence: %w", err)
	}
	return marshal(authorization{
		Auth:        c.sign(socketID + ":" + channel + ":" + data),
		ChannelData: data,
	})
}

// AuthorizeUser signs one connection in as a user. userData must hold a string "id" of 1 to
// 128 bytes out of the channel alphabet, since the user's events come in the channel
// #server-to-user-<id>. Errors: ErrSocketID, ErrUser.
func (c *Client) AuthorizeUser(socketID string, userData map[string]any) ([]byte, error) {
	if err := CheckSocketID(socketID); err != nil {
		return nil, fmt.Errorf("authorize user: %w", err)
	}
	id, _ := userData["id"].(string)
	if err := checkUserID(id); err != nil {
		return nil, fmt.Errorf("authorize user: %w", err)
	}
	data, err := marshal(userData)
	if err != nil {
		return nil, fmt.Errorf("authorize user: %w: %w", ErrUser, err)
	}
	return marshal(authorization{
		Auth:     c.sign(socketID + "::user::" + string(data)),
		UserData: string(data),
	})
}

// authorization is the answer pusher-js expects, with the members of its four kinds.
type authorization struct {
	Auth         string `json:"auth"`
	ChannelData  string `json:"channel_data,omitempty"`
	SharedSecret string `json:"shared_secret,omitempty"`
	UserData     string `json:"user_data,omitempty"`
}

func checkSubscription(socketID, channel, prefix string) error {
	if err := CheckSocketID(socketID); err != nil {
		return err
	}
	if !strings.HasPrefix(channel, prefix) || len(channel) == len(prefix) {
		return ErrChannel
	}
	return CheckChannel(channel)
}

func checkUserID(id string) error {
	if len(id) > MaxUserID || !event.InChannelAlphabet(id) {
		return ErrUser
	}
	return nil
}

func memberJSON(m Member) (string, error) {
	if m.UserID == "" || !utf8.ValidString(m.UserID) || utf8.RuneCountInString(m.UserID) > MaxUserID {
		return "", ErrUser
	}
	info, err := marshal(m.Info)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUser, err)
	}
	if len(info) > MaxMemberInfo {
		return "", ErrUser
	}
	data, err := marshal(struct {
		UserID string         `json:"user_id"`
		Info   map[string]any `json:"user_info,omitempty"`
	}{m.UserID, m.Info})
	return string(data), err
}

// sign returns key:signature.
func (c *Client) sign(text string) string {
	var room [128]byte
	return string(c.signer.appendHex(append(append(room[:0], c.cfg.Key...), ':'), []byte(text)))
}

// marshal is json.Marshal without HTML escaping, which would spend six bytes of a small
// limit on each < > and &.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
