// Package pusher publishes to Pusher Channels, signs what browsers need to listen,
// and verifies Pusher's webhooks.
//
// Batches of events, which are nearly all it sends, it encodes, signs and writes itself;
// tests compare every byte with pusher-http-go. That library seals encrypted channels' events.
// Around both are a context per call, typed errors with status and Retry-After, bounded
// answers, no redirects, one connection pool, Pusher's limits checked before anything is
// sent, and a full check of channel names and socket ids before anything is signed.
//
// What it promises: nil means Pusher accepted every event of the call. Any other answer
// leaves it open whether Pusher has them, except for the limits in this package, which
// are checked first: then nothing was sent. Pusher itself delivers at most once.
//
// No error of this package carries a URL, a signature, the secret, or an event's data.
package pusher

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	gopusher "github.com/pusher/pusher-http-go/v5"
)

const (
	defaultTimeout  = 5 * time.Second
	defaultMaxConns = 64
)

// Config says which Pusher app to use, and how. It never prints its secrets.
type Config struct {
	AppID   string // the number in the dashboard; compatible servers also use slugs
	Key     string // public: browsers know it
	Secret  string `json:"-"`
	Cluster string // such as "eu"; not used when Host is set
	Host    string // host or host:port of a compatible server; wins over Cluster
	TLS     bool   // https when true

	// EncryptionKey is the base64 of 32 bytes, for private-encrypted- channels.
	// Optional: without it, encrypted channels are refused with ErrNoEncryptionKey.
	EncryptionKey string `json:"-"`

	Timeout  time.Duration // for one whole call; 0 means 5 s
	MaxConns int           // connections kept and opened at most; 0 means 64

	// Now is the clock of signatures, Retry-After and skew; nil means time.Now. Only what goes
	// to encrypted channels is signed by the system's clock: pusher-http-go knows no other.
	Now func() time.Time `json:"-"`
}

// Format prints the app without its secrets, whatever the verb.
func (c Config) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "pusher app %s at %s", c.AppID, c.address())
}

// address is the API's host, with the cluster's name spelled out as pusher-http-go does.
func (c Config) address() string {
	if c.Host != "" {
		return c.Host
	}
	return "api-" + c.Cluster + ".pusher.com"
}

// Client talks to one Pusher app. It is safe for concurrent use.
type Client struct {
	cfg           Config
	encryptionKey []byte          // 32 bytes, or nil
	lib           gopusher.Client // copied for every call, so that a call can carry its context
	signer        *signer
	wire          wire
	buffers       buffers

	// What every request of PublishBatch has in common: see batchRequest.
	batchPath, batchHead string
	headRoom             int
}

// New checks the whole configuration and reports every fault at once, joined.
// It does not connect; Client.Check does.
func New(cfg Config) (*Client, error) {
	key, err := checkConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("pusher config: %w", err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = defaultMaxConns
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Host = cfg.address()
	c := &Client{cfg: cfg, encryptionKey: key, signer: newSigner(cfg.Secret), wire: newWire(cfg.Host, cfg.TLS, cfg.MaxConns)}
	c.batchPath = "/apps/" + cfg.AppID + "/batch_events"
	c.batchHead = " HTTP/1.1\r\nHost: " + cfg.Host + "\r\nUser-Agent: roomcast\r\nContent-Type: application/json\r\nContent-Length: "
	c.headRoom = 2*len(c.batchPath) + len(cfg.Key) + len(c.batchHead) + 256
	c.lib = gopusher.Client{
		AppID:                     cfg.AppID,
		Key:                       cfg.Key,
		Secret:                    cfg.Secret,
		Host:                      cfg.Host,
		Secure:                    cfg.TLS,
		EncryptionMasterKeyBase64: cfg.EncryptionKey,
	}
	return c, nil
}

// Format prints the app without its secrets, whatever the verb.
func (c *Client) Format(s fmt.State, verb rune) { c.cfg.Format(s, verb) }

// CloseIdle drops the pooled connections. Call it when they may be dead,
// such as after a suspended machine was resumed.
func (c *Client) CloseIdle() { c.wire.closeIdle() }

// checkConfig returns the decoded encryption key, or every fault of cfg.
func checkConfig(cfg Config) (key []byte, err error) {
	var faults []error
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New(text))
		}
	}
	fault(!isSlug(cfg.AppID), "app id: required, of letters, digits, - and _")
	fault(!isSlug(cfg.Key), "key: required, of letters, digits, - and _")
	fault(cfg.Secret == "", "secret: required")
	fault(cfg.Host == "" && cfg.Cluster == "", "cluster or host: one is required")
	fault(!isHost(cfg.address()), "host: must be host or host:port, without a scheme or path")
	fault(cfg.Cluster != "" && !isSlug(cfg.Cluster), "cluster: must be a name such as eu")
	fault(cfg.Timeout < 0, "timeout: must not be negative")
	fault(cfg.MaxConns < 0, "max conns: must not be negative")
	if cfg.EncryptionKey != "" {
		key, err = base64.StdEncoding.DecodeString(cfg.EncryptionKey)
		// The decoder's own error names the place of the fault, not the key's text.
		fault(err != nil || len(key) != encryptionKeySize, "encryption key: must be the base64 of 32 bytes")
	}
	return key, errors.Join(faults...)
}

// isHost reports whether the address is a host or host:port and nothing more. The library
// would take a scheme or a path for part of the host, and panic on some of them.
func isHost(address string) bool {
	u, err := url.Parse("http://" + address)
	return err == nil && u.Host == address && u.Hostname() != ""
}

func isSlug(s string) bool {
	for _, b := range []byte(s) {
		if !isAlphanumeric(b) && b != '-' && b != '_' {
			return false
		}
	}
	return s != ""
}
