// Package least is what Roomcast is measured beside: the least Go that does the
// same hop, and does it well. It promises nothing: no order, no seq, no lease, no
// second try. What Roomcast costs beyond it is the price of its promises.
package least

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Pusher is an app on a server that speaks Pusher's protocol.
type Pusher struct {
	Host, AppID, Key, Secret string
	client                   *http.Client
}

// NewPusher keeps up to conns connections open.
func NewPusher(host, appID, key, secret string, conns int) *Pusher {
	return &Pusher{Host: host, AppID: appID, Key: key, Secret: secret, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: conns, DisableCompression: true},
	}}
}

// Event is one event as Pusher's HTTP API takes it.
type Event struct {
	Channel string `json:"channel"`
	Name    string `json:"name"`
	Data    string `json:"data"`
}

// Trigger posts one event, and Batch up to ten.
func (p *Pusher) Trigger(ctx context.Context, e Event) error { return p.post(ctx, "events", e) }

// Batch posts up to ten events in one call.
func (p *Pusher) Batch(ctx context.Context, events []Event) error {
	return p.post(ctx, "batch_events", struct {
		Batch []Event `json:"batch"`
	}{events})
}

func (p *Pusher) post(ctx context.Context, what string, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	path := "/apps/" + p.AppID + "/" + what
	url := "http://" + p.Host + path + "?" + p.sign(path, body.Bytes(), time.Now())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("pusher answers %d", resp.StatusCode)
	}
	return nil
}

// sign writes the query that proves who posts (testdata/vectors.md, section 1).
func (p *Pusher) sign(path string, body []byte, at time.Time) string {
	sum := md5.Sum(body)
	query := "auth_key=" + p.Key + "&auth_timestamp=" + strconv.FormatInt(at.Unix(), 10) +
		"&auth_version=1.0&body_md5=" + hex.EncodeToString(sum[:])
	mac := hmac.New(sha256.New, []byte(p.Secret))
	mac.Write([]byte("POST\n" + path + "\n" + query))
	return query + "&auth_signature=" + hex.EncodeToString(mac.Sum(nil))
}
