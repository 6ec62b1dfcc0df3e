package least

import (
	"encoding/json"
	"net/http"
)

// Hop is the least webhook: decode, sign, one POST. It answers 202 when Pusher has
// the event, as forward-only mode does.
type Hop struct {
	Secret string // the bearer token that callers must know
	Pusher *Pusher
}

// ServeHTTP forwards the new row of an INSERT.
func (h *Hop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+h.Secret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var hook struct {
		Type   string          `json:"type"`
		Record json.RawMessage `json:"record"`
	}
	var row struct {
		RoomID string `json:"room_id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&hook); err != nil || hook.Type != "INSERT" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if err := json.Unmarshal(hook.Record, &row); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	e := Event{Channel: "private-room-" + row.RoomID, Name: "new-message", Data: string(hook.Record)}
	if err := h.Pusher.Trigger(r.Context(), e); err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}
