package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Mode says which way a client takes messages.
type Mode string

// The modes of the move: before, during, after.
const (
	Supabase Mode = "supabase" // Supabase Realtime only
	Both     Mode = "both"     // both, each message once
	Pusher   Mode = "pusher"   // Pusher only
)

// ErrPlan is returned for a plan that no client could follow.
var ErrPlan = errors.New("not a plan")

// Plan says which mode each client is to be in. A room's own mode comes first, then
// the user's share, then Mode. The clients ask for it again when they come back, so
// changing it needs no release of the chat.
type Plan struct {
	Mode Mode `json:"mode"`
	// Share gives a mode to a part of the users, from 0 to 1, always the same ones: a
	// client goes by the first digits of its user's id, a random uuid. Pusher's share is taken first, so that growing it
	// keeps those who had it.
	Share map[Mode]float64 `json:"share,omitempty"`
	Rooms map[string]Mode  `json:"rooms,omitempty"` // by room id
}

// ParsePlan reads CLIENT_MODE: one of the modes, or a plan as JSON, such as
// {"mode":"both","share":{"pusher":0.1},"rooms":{"lobby":"pusher"}}. It returns
// [ErrPlan], with what is wrong.
func ParsePlan(text string) (Plan, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "{") {
		p := Plan{Mode: Mode(text)}
		return p, p.check()
	}
	var p Plan
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields() // a misspelt share would move nobody, silently
	if err := dec.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("%w: %v", ErrPlan, err)
	}
	if dec.More() {
		return Plan{}, fmt.Errorf("%w: something follows the object", ErrPlan)
	}
	return p, p.check()
}

func (p Plan) check() error {
	if !p.Mode.known() {
		return fmt.Errorf("%w: mode %q is none of supabase, both, pusher", ErrPlan, string(p.Mode))
	}
	total := 0.0
	for mode, share := range p.Share {
		if !mode.known() || share < 0 || share > 1 {
			return fmt.Errorf("%w: share of %q must be a mode's, from 0 to 1", ErrPlan, string(mode))
		}
		total += share
	}
	if total > 1 {
		return fmt.Errorf("%w: the shares make more than 1", ErrPlan)
	}
	for room, mode := range p.Rooms {
		if !mode.known() {
			return fmt.Errorf("%w: room %q has mode %q", ErrPlan, room, string(mode))
		}
	}
	return nil
}

func (m Mode) known() bool { return m == Supabase || m == Both || m == Pusher }

// Serve handles GET /roomcast.json. It is asked without a token: there is nothing in
// it but the ids of rooms that the operator named.
func (p Plan) Serve(w http.ResponseWriter, _ *http.Request) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
	return nil
}
