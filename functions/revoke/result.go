package revoke

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"roomcast/shared/pusher"
)

// sortResult names what came of a call, for metrics, and reports whether repeating it is
// of no use.
func sortResult(err error) (result string, final bool) {
	var answer *pusher.Error
	class := pusher.Classify(err)
	switch {
	case class == pusher.Rejected: // Pusher knows no such user ids
		return "given up", true
	case errors.As(err, &answer) && (answer.Status == http.StatusNotFound ||
		answer.Status == http.StatusMethodNotAllowed || answer.Status == http.StatusNotImplemented):
		return "unsupported", true // a compatible server without this call
	}
	return class.String(), false
}

// limitedError says that the user was disconnected too often of late.
type limitedError struct{ wait time.Duration }

func (e limitedError) Error() string {
	return fmt.Sprintf("disconnected %d times within %s; again in %s", perUser, perUserIn, e.wait.Round(time.Second))
}
