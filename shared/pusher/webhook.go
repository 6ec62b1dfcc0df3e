package pusher

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Why a webhook is not believed.
var (
	ErrWebhookKey       = errors.New("webhook of another app")
	ErrWebhookSignature = errors.New("webhook signature wrong")
	ErrWebhookBody      = errors.New("webhook body malformed")
)

// Webhook is one verified request from Pusher. Pusher repeats it until it gets a 2xx, for
// five minutes, and does not keep order between requests: compare Time.
type Webhook struct {
	Time   time.Time // when Pusher sent it, to the millisecond
	Events []WebhookEvent
}

// WebhookEvent is one thing that happened. Which fields are set depends on Name.
type WebhookEvent struct {
	Name     string `json:"name"` // such as member_added, member_removed, channel_occupied, channel_vacated
	Channel  string `json:"channel"`
	UserID   string `json:"user_id"`   // of the member; Pusher's members have string ids
	Event    string `json:"event"`     // client_event only
	Data     string `json:"data"`      // client_event only; on encrypted channels still sealed
	SocketID string `json:"socket_id"` // client_event only
}

// WebhookForm reports whether a request can be a webhook of this app at all, by its headers
// alone: it names the app's key, and brings a signature of the right length. Errors:
// ErrWebhookKey, ErrWebhookSignature.
func (c *Client) WebhookForm(header http.Header) error {
	if header.Get("X-Pusher-Key") != c.cfg.Key { // public, so it may be compared plainly
		return ErrWebhookKey
	}
	if sent, err := hex.DecodeString(header.Get("X-Pusher-Signature")); err != nil || len(sent) != sha256.Size {
		return ErrWebhookSignature
	}
	return nil
}

// Webhook verifies that the request came from Pusher for this app, and returns what it says.
// body is the raw body, exactly as received; header has canonical names, as net/http's do.
// Errors: ErrWebhookKey, ErrWebhookSignature, ErrWebhookBody.
func (c *Client) Webhook(header http.Header, body []byte) (*Webhook, error) {
	if err := c.WebhookForm(header); err != nil {
		return nil, err
	}
	sent, err := hex.DecodeString(header.Get("X-Pusher-Signature"))
	if err != nil || !c.signer.matches(sent, body) {
		return nil, ErrWebhookSignature
	}
	var hook struct {
		TimeMs int64          `json:"time_ms"`
		Events []WebhookEvent `json:"events"`
	}
	if err := json.Unmarshal(body, &hook); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWebhookBody, err)
	}
	return &Webhook{Time: time.UnixMilli(hook.TimeMs), Events: hook.Events}, nil
}
