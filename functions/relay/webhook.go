package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/web"
)

// maxWebhook bounds a webhook's body. pg_net sends a row whole; a row larger than
// this has no place in a chat, and in Pusher none at a hundredth of it.
const maxWebhook = 1 << 20

// Webhook is the body of a Supabase Database Webhook. Unknown keys and any order
// are fine; records stay raw, since a bigint does not survive a float64.
type Webhook struct {
	Type      string          `json:"type"`
	Schema    string          `json:"schema"`
	Table     string          `json:"table"`
	Record    json.RawMessage `json:"record"`
	OldRecord json.RawMessage `json:"old_record"`
}

// bellType is the type in the body of Roomcast's own bell.
const bellType = "BELL"

// readWebhook reads and checks a webhook's body. Its errors are answers that name
// the field at fault.
func readWebhook(w http.ResponseWriter, r *http.Request) (Webhook, error) {
	if err := web.RequireJSON(r); err != nil {
		return Webhook{}, err
	}
	body, err := web.Body(w, r, maxWebhook)
	if err != nil {
		return Webhook{}, err
	}
	return parseWebhook(body)
}

// parseWebhook reads what Supabase sends in one reading. What is odd in any way is read
// by encoding/json, which takes more and says what is wrong.
func parseWebhook(body []byte) (Webhook, error) {
	if hook, usual := readUsual(body); usual {
		return hook, hook.check()
	}
	var hook Webhook
	if err := json.Unmarshal(body, &hook); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return Webhook{}, web.BadRequest(wrong.Field, "must be a "+wrong.Type.String()+", not a "+wrong.Value)
		}
		return Webhook{}, web.BadRequest("body", "is not a JSON object")
	}
	return hook, hook.check()
}

// readUsual reads a body of the five keys by their exact names, each of its type. Any
// other body is not a usual one.
func readUsual(body []byte) (hook Webhook, usual bool) {
	dec := lenientDecoder(body)
	if begin, err := dec.ReadToken(); err != nil || begin.Kind() != '{' {
		return Webhook{}, false
	}
	for dec.PeekKind() == '"' {
		key, err := dec.ReadValue()
		if err != nil {
			return Webhook{}, false
		}
		switch string(key) {
		case `"type"`:
			err = readText(dec, &hook.Type)
		case `"schema"`:
			err = readText(dec, &hook.Schema)
		case `"table"`:
			err = readText(dec, &hook.Table)
		case `"record"`:
			err = readRaw(dec, &hook.Record)
		case `"old_record"`:
			err = readRaw(dec, &hook.OldRecord)
		default:
			err = errUnusual
		}
		if err != nil {
			return Webhook{}, false
		}
	}
	if _, err := dec.ReadToken(); err != nil { // the end of the object
		return Webhook{}, false
	}
	_, err := dec.ReadToken()
	return hook, err == io.EOF
}

func (h Webhook) check() error {
	if h.Type == bellType {
		return nil
	}
	op := event.Op(h.Type)
	if op != event.Insert && op != event.Update && op != event.Delete {
		return web.BadRequest("type", "must be INSERT, UPDATE or DELETE")
	}
	if h.Table == "" {
		return web.BadRequest("table", "is missing")
	}
	if h.Schema == "" {
		return web.BadRequest("schema", "is missing")
	}
	if (op == event.Delete) != absent(h.Record) || !absent(h.Record) && !isObject(h.Record) {
		return web.BadRequest("record", "must be an object, or null for a DELETE")
	}
	if (op == event.Insert) != absent(h.OldRecord) || !absent(h.OldRecord) && !isObject(h.OldRecord) {
		return web.BadRequest("old_record", "must be an object, or null for an INSERT")
	}
	return nil
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null"
}

func isObject(raw json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimSpace(raw), []byte{'{'})
}

// Bell answers POST /webhooks/supabase.
type Bell struct {
	Secrets []string // any of these is accepted: two while one is being rotated
	Log     *slog.Logger

	// Ring is called for every caller who knows a secret, whatever the body says:
	// what is sent comes from the outbox, so nothing is lost with a bad body.
	Ring func()
	// Empty, where it is set, sends all that waits before the answer: for a
	// platform on which nothing runs afterwards. Ring is then not called.
	Empty func(context.Context) error
	// Forward, where it is set, publishes the webhook's own row: there is no outbox.
	Forward func(context.Context, Webhook) error
}

// emptyLimit bounds the work done before an answer: pg_net waits five seconds by
// default and then counts the bell as lost, which is harmless, but says so.
const emptyLimit = 25 * time.Second

// ServeHTTP checks the secret, rings, and answers 202 at once.
func (b *Bell) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	secret, ok := web.Bearer(r)
	if !ok || !web.SecretIn(secret, b.Secrets) {
		return web.Unauthorized("unknown webhook secret", nil)
	}
	if b.Ring != nil && b.Empty == nil {
		b.Ring()
	}
	hook, bad := readWebhook(w, r)
	if b.Empty != nil {
		ctx, cancel := context.WithTimeout(r.Context(), emptyLimit)
		defer cancel()
		if err := b.Empty(ctx); err != nil {
			return web.Unavailable("not everything could be sent; the rows wait in the outbox", time.Second, err)
		}
	}
	if bad != nil {
		return bad
	}
	if b.Forward != nil && hook.Type != bellType {
		if err := b.Forward(r.Context(), hook); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
