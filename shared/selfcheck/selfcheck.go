// Package selfcheck is the function's report on itself (GET /selfcheck): the type of the
// answer, and the call that fetches it. Doctor and deploy compare it with their own view.
package selfcheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Report is the function's answer. It holds no secret.
type Report struct {
	Version     string            `json:"version"` // commit
	Mode        string            `json:"mode"`    // outbox or forward-only
	Channels    []string          `json:"channels"`
	PackedRooms []string          `json:"packed_rooms"`
	ClientMode  string            `json:"client_mode"`
	Origins     []string          `json:"origins"`
	SupabaseURL string            `json:"supabase_url"`
	Database    *Database         `json:"database"` // nil in forward-only mode
	Pusher      Pusher            `json:"pusher"`
	Keys        *Keys             `json:"keys"` // nil without SUPABASE_URL
	Clock       Clock             `json:"clock"`
	Relay       *Relay            `json:"relay"`  // nil in forward-only mode
	Prints      map[string]string `json:"prints"` // of settings, by name; see Print
	Event       *Event            `json:"event"`  // of a test event, if one was asked for
}

// Database is what the function's own connection reaches.
type Database struct {
	Reachable        bool     `json:"reachable"`
	Error            string   `json:"error"`
	Host             string   `json:"host"` // with its port
	Name             string   `json:"name"`
	ServerVersion    string   `json:"server_version"`
	Role             string   `json:"role"`
	Schema           int      `json:"schema"`          // highest migration applied
	SchemaExpected   int      `json:"schema_expected"` // highest that the function brings along
	Missing          []string `json:"missing"`
	SystemIdentifier string   `json:"system_identifier"` // of the cluster (pg_control_system)
	ReadOnly         bool     `json:"read_only"`
	PusherApp        string   `json:"pusher_app"` // that the outbox belongs to; empty: none has claimed yet
}

// Pusher is what Pusher answers a signed read.
type Pusher struct {
	AppID     string `json:"app_id"`
	Key       string `json:"key"`
	Cluster   string `json:"cluster"`
	Host      string `json:"host"`
	Reachable bool   `json:"reachable"`
	Status    int    `json:"status"`
	Error     string `json:"error"`
}

// Keys says whether the keys that users' tokens are verified with could be fetched.
type Keys struct {
	Reachable bool   `json:"reachable"`
	Error     string `json:"error"`
}

// Clock is the function's, and its distance from the database's.
type Clock struct {
	Function    time.Time `json:"function"`
	SkewSeconds float64   `json:"skew_seconds"` // the database's minus the function's
}

// Relay is how the hot loop stands in the process that answered.
type Relay struct {
	Awake        bool       `json:"awake"`
	LastClaim    *time.Time `json:"last_claim"`
	LastAccepted *time.Time `json:"last_accepted"`
	PausedSince  *time.Time `json:"paused_since"`
	PusherAnswer string     `json:"pusher_answer"`
	Canary       *Canary    `json:"canary,omitempty"`  // the last one; nil without CANARY, or before the first
	Polling      *Polling   `json:"polling,omitempty"` // nil while Pusher accepts events
}

// Polling is why visible pages poll, and what that costs.
type Polling struct {
	Since        time.Time  `json:"since"`    // when Pusher began not to accept events
	RetryAt      *time.Time `json:"retry_at"` // when it is asked again
	Answer       string     `json:"answer"`   // what it said last
	EverySeconds int        `json:"every_seconds"`
	LastMinute   int        `json:"last_minute"` // requests of pages for what they missed
}

// Canary is the result of a row that the function wrote to hear it through Pusher.
type Canary struct {
	Result  string    `json:"result"` // heard, missed, unheard (no connection) or unwritten
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"` // until it was heard
}

// Event is what became of a test event: written to the outbox, claimed by the process
// that answered, and accepted by Pusher, or why not.
type Event struct {
	Accepted bool    `json:"accepted"`
	Error    string  `json:"error"`
	Seconds  float64 `json:"seconds"`
}

// Why there is no report.
var (
	ErrSecret = errors.New("the function refuses the webhook secret")
	ErrOlder  = errors.New("the function has no /selfcheck: an older version is deployed")
)

// Ask fetches the report. base is the function's address, secret one of WEBHOOK_SECRET.
// With event the function sends a test event through itself first, which takes it up to
// ten seconds. prepare may change the request, or be nil.
func Ask(ctx context.Context, client *http.Client, base, secret string, event bool, prepare func(*http.Request)) (*Report, error) {
	query := ""
	if event {
		query = "?event=1"
	}
	return ask(ctx, client, base, secret, query, prepare)
}

// AskRelay fetches no more than how the relay stands: the function asks nobody for that.
func AskRelay(ctx context.Context, client *http.Client, base, secret string) (*Relay, error) {
	report, err := ask(ctx, client, base, secret, "?only=relay", nil)
	if err != nil {
		return nil, err
	}
	return report.Relay, nil
}

func ask(ctx context.Context, client *http.Client, base, secret, query string, prepare func(*http.Request)) (*Report, error) {
	address := strings.TrimSuffix(base, "/") + "/selfcheck" + query
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the function's address cannot be read")
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	if prepare != nil {
		prepare(req)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<18))
	switch {
	case err != nil:
		return nil, withoutURL(err)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, ErrSecret
	case resp.StatusCode == http.StatusNotFound:
		return nil, ErrOlder
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("/selfcheck answers %d", resp.StatusCode)
	}
	var report Report
	if err := json.Unmarshal(body, &report); err != nil || report.Mode == "" {
		return nil, errors.New("what answers /selfcheck is not Roomcast")
	}
	return &report, nil
}

// withoutURL takes the address out of an HTTP client's error.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
