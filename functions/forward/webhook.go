package forward

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"roomcast/shared/event"
	"roomcast/shared/web"
)

// maxWebhook bounds a webhook's body in bytes. pg_net sends the whole row; Pusher takes
// no event of a hundredth of this.
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

// isWakeUp reports whether this is the outbox's own wake-up call, which carries no row:
// the database is configured for a relay with DATABASE_URL, and this one has none.
func (h Webhook) isWakeUp() bool { return h.Schema == "roomcast" && h.Table == "outbox" }

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

// parseWebhook reads the usual body in one pass. Anything unusual goes to encoding/json,
// which accepts more and says what is wrong.
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

// readUsual reads a body that has only the five known keys, each of its type, and
// reports false for any other.
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
	if h.isWakeUp() {
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
