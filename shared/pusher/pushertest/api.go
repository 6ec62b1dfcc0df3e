package pushertest

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxBody = 1 << 20 // of a request; ten events of 10 kB fit even when all escaped

// routes is the index of what is served. Pusher's reference:
// https://pusher.com/docs/channels/library_auth_reference/rest-api/
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /apps/{app}/events", s.api(s.postEvents))
	mux.Handle("POST /apps/{app}/batch_events", s.api(s.postBatch))
	mux.Handle("GET /apps/{app}/channels", s.api(s.getChannels))
	mux.Handle("GET /apps/{app}/channels/{channel}", s.api(s.getChannel))
	mux.Handle("GET /apps/{app}/channels/{channel}/users", s.api(s.getUsers))
	mux.Handle("POST /apps/{app}/users/{user}/terminate_connections", s.api(s.terminate))
	mux.HandleFunc("GET /app/{key}", s.serveSocket)
	if s.opts.Admin {
		s.adminRoutes(mux)
	}
	return mux
}

// apiError is an answer other than 200, with Pusher's status and a text like Pusher's.
type apiError struct {
	status int
	text   string
}

func (e *apiError) Error() string { return e.text }

func refuse(status int, format string, args ...any) error {
	return &apiError{status, fmt.Sprintf(format, args...)}
}

// call is one request to the API with its body read.
type call struct {
	*http.Request
	body  []byte
	fault Fault // what was injected for this request; zero if nothing
}

// api wraps a handler with what all have in common: faults first, as they stand for a
// network or a proxy that knows nothing of the request, then app and signature.
func (s *Server) api(handle func(call) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			s.answer(w, r, nil, refuse(http.StatusRequestEntityTooLarge, "Request body too large"))
			return
		}
		c := call{Request: r, body: body, fault: s.faults.take(r, body)}
		if c.fault.before(w, r) {
			return
		}
		result, err := s.authenticated(c, handle)
		if err == nil && c.fault.ResetAfterAccept {
			reset(w)
			return
		}
		if err == nil && c.fault.AnswerAfterAccept != "" {
			_, _ = io.WriteString(w, c.fault.AnswerAfterAccept)
			return
		}
		s.answer(w, r, result, err)
	})
}

func (s *Server) authenticated(c call, handle func(call) (any, error)) (any, error) {
	if c.PathValue("app") != s.opts.AppID {
		return nil, refuse(http.StatusNotFound, "Unknown app id")
	}
	if err := s.checkSignature(c); err != nil {
		return nil, err
	}
	return handle(c)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, result any, err error) {
	if err != nil {
		status := http.StatusInternalServerError
		var known *apiError
		if errors.As(err, &known) {
			status = known.status
		}
		s.opts.Log.Info("pushertest refused", "method", r.Method, "path", r.URL.Path, "status", status, "reason", err)
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(marshal(result))
}

// checkSignature verifies the request as Pusher documents it: HMAC-SHA256 over the method,
// the path and the sorted parameters without auth_signature, names in lower case, values not
// escaped; the body only through its MD5; a timestamp at most 600 s from our clock.
func (s *Server) checkSignature(c call) error {
	query := c.URL.Query()
	if query.Get("auth_key") != s.opts.Key {
		return refuse(http.StatusUnauthorized, "Unknown auth_key")
	}
	if query.Get("auth_version") != "1.0" {
		return refuse(http.StatusUnauthorized, "Unsupported auth_version")
	}
	seconds, err := strconv.ParseInt(query.Get("auth_timestamp"), 10, 64)
	if err != nil {
		return refuse(http.StatusUnauthorized, "auth_timestamp is not a number of seconds")
	}
	now := s.opts.Clock()
	if off := now.Sub(time.Unix(seconds, 0)); off.Abs() > timestampWindow {
		return refuse(http.StatusUnauthorized, "Timestamp expired: Given timestamp (%d) not within 600s of server time (%d)",
			seconds, now.Unix())
	}
	if sum := md5.Sum(c.body); len(c.body) > 0 && query.Get("body_md5") != hex.EncodeToString(sum[:]) {
		return refuse(http.StatusUnauthorized, "Invalid body_md5")
	}
	// Libraries disagree on whether the path is signed escaped or not; for all names without
	// special characters it is the same.
	sent := []byte(query.Get("auth_signature"))
	for _, path := range []string{c.URL.Path, c.URL.EscapedPath()} {
		text := c.Method + "\n" + path + "\n" + signedParams(query)
		if hmac.Equal(sent, []byte(s.sign([]byte(text)))) {
			return nil
		}
	}
	return refuse(http.StatusUnauthorized, `Invalid signature: you should have sent HmacSHA256Hex(%q, your_secret_key), but you sent %q`,
		c.Method+"\n"+c.URL.Path+"\n"+signedParams(query), sent)
}

func signedParams(query url.Values) string {
	var pairs []string
	for name, values := range query {
		if name = strings.ToLower(name); name != "auth_signature" {
			pairs = append(pairs, name+"="+strings.Join(values, ","))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}
