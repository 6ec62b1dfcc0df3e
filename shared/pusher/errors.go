package pusher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxReason     = 200 // bytes of a server's text kept in an error
	maxRetryAfter = time.Hour
)

// Error is an answer from Pusher other than 2xx.
type Error struct {
	Op         string        // what was attempted, such as "publish batch"
	Status     int           // HTTP status
	RetryAfter time.Duration // how long Pusher asks to wait, at most an hour; 0 if it does not say
	Reason     string        // first line of the body, bounded, without secrets and signatures
	Skew       time.Duration // Pusher's clock minus ours, to the second; 0 if unknown

	dated bool // whether Skew is known
}

func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s: pusher answered %d", e.Op, e.Status)
	}
	return fmt.Sprintf("%s: pusher answered %d: %s", e.Op, e.Status, e.Reason)
}

// Class is what a caller can do about the result of a call.
type Class int

const (
	Accepted    Class = iota // nil: Pusher has it
	TryLater                 // network, timeout, 408, 429, 5xx, and any answer not named below
	Credentials              // 401, 404, redirects, a missing encryption key: a wrong setting or clock
	Refused                  // 403: over quota, or the app is disabled
	Rejected                 // 400, 413, and the limits of this package: the request itself is at fault
)

func (c Class) String() string {
	switch c {
	case Accepted:
		return "accepted"
	case TryLater:
		return "try later"
	case Credentials:
		return "credentials"
	case Refused:
		return "refused"
	case Rejected:
		return "rejected"
	}
	return "class " + strconv.Itoa(int(c))
}

// Advice says what an operator can do about a call of this class that keeps failing.
func (c Class) Advice() string {
	switch c {
	case Credentials:
		return "pusher refuses our signature; rows wait: check PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET, PUSHER_CLUSTER and this machine's clock"
	case Refused:
		return "pusher refuses the app; rows wait: it is over its quota, or disabled"
	}
	return "pusher does not take events; rows wait"
}

// AskedToWait reports whether an answer asks the app as a whole to wait, which 429 does,
// and any answer with Retry-After; and for how long, 0 if it does not say.
func AskedToWait(err error) (after time.Duration, yes bool) {
	var answer *Error
	if !errors.As(err, &answer) {
		return 0, false
	}
	return answer.RetryAfter, answer.RetryAfter > 0 || answer.Status == http.StatusTooManyRequests
}

// Classify sorts an error of this package. What it does not know is TryLater: the only
// class that neither gives up an event nor blames a setting.
func Classify(err error) Class {
	if err == nil {
		return Accepted
	}
	var answer *Error
	switch {
	case errors.As(err, &answer):
		return classifyStatus(answer.Status)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return TryLater
	case errors.Is(err, ErrNoEncryptionKey):
		return Credentials
	}
	for _, limit := range []error{ErrNoEvents, ErrTooMany, ErrTooLarge, ErrNotText, ErrEventName,
		ErrChannel, ErrSocketID, ErrUser} {
		if errors.Is(err, limit) {
			return Rejected
		}
	}
	return TryLater
}

func classifyStatus(status int) Class {
	switch {
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge:
		return Rejected
	case status == http.StatusForbidden:
		return Refused
	// An unknown app or another address: waiting will not help, and no event is to blame.
	case status == http.StatusUnauthorized, status == http.StatusNotFound, status/100 == 3:
		return Credentials
	}
	return TryLater
}

// answerError makes the *Error of an answer to a request sent at start.
func (c *Client) answerError(op string, a answer, start time.Time) *Error {
	now := c.cfg.Now()
	line, _, _ := bytes.Cut(bytes.TrimSpace(a.body), []byte("\n"))
	skew, dated := clockSkew(a.header, start, now)
	return &Error{
		Op:         op,
		Status:     a.status,
		RetryAfter: retryAfter(a.header.Get("Retry-After"), now),
		Reason:     clean(string(line), c.secrets()),
		Skew:       skew,
		dated:      dated,
	}
}

// retryAfter reads seconds or an HTTP date (RFC 9110, 10.2.3), and bounds it.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(header, 10, 32); err == nil {
		return min(max(0, time.Duration(seconds)*time.Second), maxRetryAfter)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(0, at.Sub(now)), maxRetryAfter)
	}
	return 0
}

// clockSkew compares the answer's Date, which has whole seconds, with the middle of the call.
func clockSkew(h http.Header, start, end time.Time) (skew time.Duration, known bool) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0, false
	}
	middle := start.Add(end.Sub(start) / 2)
	return date.Add(time.Second / 2).Sub(middle).Round(time.Second), true
}

func (c *Client) secrets() []string { return []string{c.cfg.Secret, c.cfg.EncryptionKey} }

// clean makes a text of others fit for a log: bounded, one line, printable, without the
// secrets, and without hex as long as a signature, which Pusher's 401 repeats.
func clean(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[secret]")
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = withoutHex(text)
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// withoutHex replaces runs of 32 and more hex digits: MD5 sums and HMACs.
func withoutHex(text string) string {
	var out strings.Builder
	start := 0 // of the current run
	flush := func(end int) {
		if end-start >= 32 {
			out.WriteString("[hex]")
		} else {
			out.WriteString(text[start:end])
		}
	}
	for i := range len(text) {
		if strings.IndexByte("0123456789abcdefABCDEF", text[i]) < 0 {
			flush(i)
			out.WriteByte(text[i])
			start = i + 1
		}
	}
	flush(len(text))
	return out.String()
}
