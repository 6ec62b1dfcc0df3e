package browser_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
)

func (w *world) answerPage(rw http.ResponseWriter, r *http.Request, room string) error {
	after, _ := strconv.ParseInt(r.FormValue("after"), 10, 64)
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	page, err := json.Marshal(w.page(room, after, r.FormValue("epoch"), limit))
	return answer(rw, page, err)
}

// sign authorizes one channel, as functions/authorize does.
func (w *world) sign(r *http.Request, channel string) ([]byte, error) {
	id, personal := strings.CutPrefix(channel, "private-user-")
	kind := event.Private
	if !personal {
		var err error
		if kind, id, err = event.ParseChannel(channel); err != nil {
			return nil, status(http.StatusForbidden)
		}
	}
	user, err := w.admit(r, id)
	if err != nil {
		return nil, err
	}
	if personal && id != user {
		return nil, status(http.StatusForbidden)
	}
	if kind == event.Presence {
		signed, err := w.publish.AuthorizePresence(r.PostFormValue("socket_id"), channel, pusher.Member{UserID: user})
		if carrier, _ := channelOf(id); err == nil && carrier != channel {
			signed = fmt.Appendf(bytes.TrimSuffix(signed, []byte("}")), `,"events":%q}`, carrier)
		}
		return signed, err
	}
	return w.publish.AuthorizePrivate(r.PostFormValue("socket_id"), channel)
}

// batch answers POST /pusher/auth/batch (DESIGN: an object by channel name).
func (w *world) batch(rw http.ResponseWriter, r *http.Request) error {
	if _, err := w.admit(r, ""); err != nil {
		return err
	}
	out := map[string]map[string]any{}
	_ = r.PostFormValue("socket_id") // parses the form
	for _, channel := range r.PostForm["channel_name"] {
		signed, err := w.sign(r, channel)
		var code status
		switch {
		case errors.As(err, &code):
			out[channel] = map[string]any{"status": int(code), "error": code.Error()}
		case err != nil:
			return err
		default:
			one := map[string]any{}
			if err := json.Unmarshal(signed, &one); err != nil {
				return err
			}
			one["status"] = http.StatusOK
			out[channel] = one
		}
	}
	body, err := json.Marshal(out)
	return answer(rw, body, err)
}

// many answers POST /events: by room, what the single request answers, or a status.
func (w *world) many(rw http.ResponseWriter, r *http.Request) error {
	if _, err := w.admit(r, ""); err != nil {
		return err
	}
	var in struct {
		Rooms map[string]struct {
			After int64
			Epoch string
			Limit int
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Rooms) > 100 {
		return status(http.StatusBadRequest)
	}
	out, budget := map[string]any{}, 300 // events in one answer, as the function bounds bytes
	for id, q := range in.Rooms {
		_, err := w.admit(r, id)
		var code status
		if errors.As(err, &code) {
			out[id] = map[string]any{"status": int(code)}
		} else {
			page := w.page(id, q.After, q.Epoch, min(q.Limit, budget))
			budget -= len(page["events"].([]any))
			out[id] = page
		}
	}
	body, err := json.Marshal(map[string]any{"rooms": out})
	return answer(rw, body, err)
}

// page answers as functions/history does.
func (w *world) page(id string, after int64, epoch string, limit int) map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.rooms[id]
	if r == nil {
		return map[string]any{"room": id, "epoch": "", "head": 0, "last": 0, "events": []any{}, "more": false, "reset": after > 0}
	}
	head := int64(len(r.changes))
	reset := epoch != "" && epoch != r.epoch || after < r.first-1 || after > head
	if reset {
		after = r.first - 1
	}
	events := []any{}
	last := min(after+int64(limit), head)
	for _, c := range r.changes[after:last] {
		if !c.void {
			events = append(events, map[string]any{"name": c.full.Name, "data": c.full.Data})
		}
	}
	page := map[string]any{"room": id, "epoch": r.epoch, "head": head, "last": last, "events": events, "more": last < head, "reset": reset}
	if w.poll > 0 {
		page["poll"] = w.poll
	}
	return page
}

// admit is the function's decision on who may read.
func (w *world) admit(r *http.Request, room string) (string, error) {
	user, err := w.user(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.down:
		return "", status(http.StatusServiceUnavailable)
	case err != nil:
		return "", status(http.StatusUnauthorized)
	case w.denied[room] || w.denied[user]:
		return "", status(http.StatusForbidden)
	}
	return user, nil
}

func (w *world) failsSignin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.signin--
	return w.signin >= 0
}
