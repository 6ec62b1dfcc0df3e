package authorize

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/web"
)

const (
	// maxChannels is how many channels one batch may name.
	maxChannels = 100
	// maxBatchForm bounds the body in bytes: so many names of 164 bytes, percent-encoded.
	maxBatchForm = 64 << 10
)

// Batch handles POST /pusher/auth/batch: may this user, on this connection, hear these
// channels? The form has socket_id once and channel_name up to 100 times. The answer is
// an object by channel name, each {"status":200} with what Channel answers, or
// {"status":403,"error":…}. Repeats are harmless.
func (h *Handler) Batch(w http.ResponseWriter, r *http.Request) error {
	user, ctx, err := h.bearer(r)
	if err != nil {
		return err
	}
	socketID, names, err := readBatchForm(w, r)
	if err != nil {
		h.observe(result(r, err))
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	questions, refusals := make([]channelRequest, len(names)), make([]error, len(names))
	rooms := make([]string, 0, len(names))
	for i, name := range names {
		questions[i], refusals[i] = h.read(name, user)
		if refusals[i] == nil && questions[i].room != "" {
			rooms = append(rooms, questions[i].room)
		}
	}
	answers := h.mayReadAll(ctx, r, rooms, user)
	answer := make([]byte, 0, 256*len(names))
	for i, q := range questions {
		if refusals[i] == nil && q.room != "" {
			refusals[i], answers = answers[0], answers[1:]
		}
		var signed []byte
		if refusals[i] == nil {
			signed, refusals[i] = h.signFor(ctx, r, socketID, q, user)
		}
		h.observe(result(r, refusals[i]))
		if answer, err = appendPart(answer, q.name, signed, refusals[i]); err != nil {
			return err
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	return web.WriteJSONText(w, http.StatusOK, append(answer, '}'))
}

// appendPart adds one channel's part to a batch's answer: what was signed, an object, with
// the status in front. Faults of ours fail the batch.
func appendPart(answer []byte, name string, signed []byte, refusal error) ([]byte, error) {
	separator := byte(',')
	if len(answer) == 0 {
		separator = '{'
	}
	answer = append(answer, separator)
	if event.InChannelAlphabet(name) { // nothing to escape
		answer = append(append(append(answer, '"'), name...), `":`...)
	} else {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, fmt.Errorf("channel: %w", err)
		}
		answer = append(append(answer, key...), ':')
	}
	if refusal == nil {
		return append(append(answer, `{"status":200,`...), bytes.TrimPrefix(signed, []byte("{"))...), nil
	}
	part, err := web.PartOf(refusal)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(part)
	return append(answer, text...), err
}

// readBatchForm reads the connection and its channels, each once.
func readBatchForm(w http.ResponseWriter, r *http.Request) (socketID string, names []string, err error) {
	all, err := readBody(w, r, maxBatchForm, "socket_id", "channel_name")
	if err != nil {
		return "", nil, err
	}
	if len(all["socket_id"]) != 1 || pusher.CheckSocketID(all.Get("socket_id")) != nil {
		return "", nil, web.BadRequest("socket_id", "not given once in the form digits.digits")
	}
	if n := len(all["channel_name"]); n == 0 || n > maxChannels {
		return "", nil, web.BadRequest("channel_name", fmt.Sprintf("must be given from 1 to %d times", maxChannels))
	}
	return all.Get("socket_id"), unique(all["channel_name"]), nil
}

func unique(names []string) (out []string) {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// readBody reads a form from the body and nothing but the body. A parameter called names
// in the query is refused, since somebody expects it to count.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, names ...string) (url.Values, error) {
	if err := web.RequireType(r, formType); err != nil {
		return nil, err
	}
	query := r.URL.Query()
	for _, name := range names {
		if query.Has(name) {
			return nil, web.BadRequest(name, "belongs in the body")
		}
	}
	body, err := web.Body(w, r, limit)
	if err != nil {
		return nil, err
	}
	all, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, web.BadRequest("body", "not a form") // the cause would quote the body
	}
	return all, nil
}
