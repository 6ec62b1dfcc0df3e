package authorize

import (
	"errors"
	"net/http"

	"roomcast/shared/web"
)

// answer sends what was signed, or passes the refusal on, and counts it.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, signed []byte, err error) error {
	h.observe(result(r, err))
	if err != nil {
		return err
	}
	// A signature is for one connection and, once the membership ends, for nobody.
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	// Only status 200 counts for pusher-js. The client may have disconnected.
	_, _ = w.Write(signed)
	return nil
}

// result names the outcome, for metrics.
func result(r *http.Request, err error) string {
	if err == nil {
		return ResultAllowed
	}
	var refusal *web.Error
	switch {
	case !errors.As(err, &refusal) && web.Disconnected(r):
		return ResultGone
	case refusal == nil:
		return ResultError
	}
	if errors.Is(err, ErrBusy) {
		return ResultBusy
	}
	switch refusal.Status {
	case http.StatusUnauthorized:
		return ResultBadToken
	case http.StatusForbidden:
		return ResultForbidden
	case http.StatusServiceUnavailable:
		return ResultUnavailable
	default:
		return ResultBadRequest
	}
}
