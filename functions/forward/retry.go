package forward

import (
	"context"
	"net/http"
	"time"

	"roomcast/shared/backoff"
	"roomcast/shared/pusher"
	"roomcast/shared/web"
)

// spacing is the wait between attempts within one request.
var spacing = backoff.Span{First: 50 * time.Millisecond, Most: time.Second}

// retry makes a call until Pusher accepts, refuses for good, or ctx ends. Its errors
// are answers.
func (h *Handler) retry(ctx context.Context, call func() error) error {
	var wait backoff.Timer
	for {
		err := call()
		switch class := pusher.Classify(err); class {
		case pusher.Accepted:
			return nil
		case pusher.Rejected:
			return &web.Error{Status: http.StatusUnprocessableEntity, Field: "record", Reason: "pusher does not take this event", Err: err}
		case pusher.Credentials, pusher.Refused:
			return &web.Error{Status: http.StatusBadGateway, Reason: class.Advice(), Err: err}
		}
		wait.Fail(spacing)
		after, _ := pusher.AskedToWait(err)
		wait.Defer(after)
		if deadline, ok := ctx.Deadline(); ok && wait.Until.After(deadline) || ctx.Err() != nil {
			return web.Unavailable("pusher did not take it; it is lost unless the webhook is sent again", time.Second, err)
		}
		backoff.Sleep(ctx, time.Until(wait.Until))
	}
}
