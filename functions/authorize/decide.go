package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/token"
	"roomcast/shared/web"
)

const (
	// accessTimeout bounds the questions to the database. pusher-js has no timeout
	// of its own: without one here a stuck database would collect requests.
	accessTimeout = 3 * time.Second
	// accessRetry is when a client may ask again after the database did not answer.
	accessRetry = 2 * time.Second
	// busyRetry and busySpread send the clients of a storm away for a while, and not
	// all of them for the same.
	busyRetry  = time.Second
	busySpread = 4 * time.Second
)

func (h *Handler) channel(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	user, ctx, err := h.bearer(r)
	if err != nil {
		return nil, err
	}
	form, err := readForm(w, r, "socket_id", "channel_name")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	q, err := h.read(form["channel_name"], user)
	if err == nil && q.room != "" {
		err = h.mayRead(ctx, r, q.room, user)
	}
	if err != nil {
		return nil, err
	}
	return h.signFor(ctx, r, form["socket_id"], q, user)
}

// channelRequest is a channel that somebody wants to listen to.
type channelRequest struct {
	name string
	kind event.ChannelKind
	key  string // of the stream
	room string // the id that the database is asked about; empty for a user's own channel
}

// read reads a channel's name, and refuses what needs no database to be refused. Pusher
// signs whatever text it is given, and a name with a colon can be a sign-in as somebody
// else (testdata/vectors.md, section 6): nothing that event.ChannelName would not write
// gets past here.
func (h *Handler) read(name string, user token.Claims) (channelRequest, error) {
	kind, key, err := event.ParseChannel(name)
	q := channelRequest{name: name, kind: kind, key: key}
	switch {
	case err != nil:
		return q, web.Forbidden("not the channel of a room or a user", err)
	case kind == event.Personal:
		if own, err := event.UserKey(user.UserID); err != nil || own != key {
			return q, web.Forbidden("another user's channel", err)
		}
		return q, nil
	case kind == event.Public:
		return q, web.Forbidden("public channels need no authorization", nil)
	case !h.channels.InUse(kind):
		return q, web.Forbidden("this kind of channel is not in use", nil)
	}
	if _, q.room, err = event.ParseKey(key); err != nil || !event.IsText(q.room) {
		return q, forbidden()
	}
	return q, nil
}

// signFor signs a channel for a user who may listen to it.
func (h *Handler) signFor(ctx context.Context, r *http.Request, socketID string, q channelRequest, user token.Claims) ([]byte, error) {
	if !slices.Contains(h.channels.Of(q.key), q.kind) { // told to members only: it says which rooms there are
		return nil, web.Forbidden("this room has no channel of kind "+string(q.kind), nil)
	}
	member := pusher.Member{UserID: user.UserID}
	if q.kind == event.Presence {
		var err error
		if member.Info, err = h.info(ctx, q.room, user); err != nil {
			return nil, web.Unanswered(r, "member info cannot be read right now", accessRetry, err)
		}
	}
	signed, err := h.sign(q.kind, socketID, q.name, member)
	if carriers := h.channels.Carriers(q.key); err == nil && !slices.Contains(carriers, q.kind) {
		return sayCarrier(signed, carriers, q.key)
	}
	return signed, err
}

// sayCarrier adds to the signature of a channel that carries no events which one does: a
// private one where there is one, since anything can read its events.
func sayCarrier(signed []byte, carriers []event.ChannelKind, key string) ([]byte, error) {
	carrier := carriers[0]
	if slices.Contains(carriers, event.Private) {
		carrier = event.Private
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(signed, &fields); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	name, err := event.ChannelName(carrier, key)
	if err != nil {
		return nil, err
	}
	fields["events"] = json.RawMessage(`"` + name + `"`) // a channel's alphabet needs no escapes
	return json.Marshal(fields)
}

// Caller says whose request this is. Its errors are answers: 401, 503.
func (h *Handler) Caller(r *http.Request) (userID string, err error) {
	user, _, err := h.bearer(r)
	return user.UserID, err
}

// CallerClaims is Caller, with the claims of the token as JSON.
func (h *Handler) CallerClaims(r *http.Request) (userID string, claims []byte, err error) {
	user, _, err := h.bearer(r)
	return user.UserID, user.Raw, err
}

// Reader says whose request this is, if that user may read the room with this id: the
// decision that Channel signs, for a handler that gives a room's events out by another
// way. Its errors are the same answers: 401, 403, 503.
func (h *Handler) Reader(r *http.Request, room string) (userID string, err error) {
	userID, refusals, err := h.Readers(r, []string{room})
	if err != nil {
		return "", err
	}
	return userID, refusals[0]
}

// Readers is Reader for many rooms: a refusal, or nil, for each of them.
func (h *Handler) Readers(r *http.Request, rooms []string) (userID string, refusals []error, err error) {
	user, ctx, err := h.bearer(r)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	return user.UserID, h.mayReadAll(ctx, r, rooms, user), nil
}

// mayRead asks the database, and turns all but a yes into an answer.
func (h *Handler) mayRead(ctx context.Context, r *http.Request, room string, user token.Claims) error {
	return h.mayReadAll(ctx, r, []string{room}, user)[0]
}

// mayReadAll is mayRead for many rooms, in their order.
func (h *Handler) mayReadAll(ctx context.Context, r *http.Request, rooms []string, user token.Claims) []error {
	refusals := make([]error, len(rooms))
	asked, at := make([]string, 0, len(rooms)), make([]int, 0, len(rooms))
	for i, room := range rooms {
		if !event.IsText(room) {
			refusals[i] = forbidden()
			continue
		}
		asked, at = append(asked, room), append(at, i)
	}
	for n, a := range h.ask(ctx, asked, user) {
		refusals[at[n]] = refusal(r, a)
	}
	return refusals
}

func (h *Handler) ask(ctx context.Context, rooms []string, user token.Claims) []Answer {
	if many, ok := h.access.(ManyAccess); ok {
		return many.CanReadMany(ctx, rooms, user.UserID, user.Raw)
	}
	answers := make([]Answer, len(rooms))
	for i, room := range rooms {
		answers[i].OK, answers[i].Err = h.access.CanRead(ctx, room, user.UserID, user.Raw)
	}
	return answers
}

// refusal is a 403 for a no, a 503 where the question was not answered, and nil for a yes.
func refusal(r *http.Request, a Answer) error {
	switch {
	case errors.Is(a.Err, ErrBusy):
		return web.Unanswered(r, "too many requests at once", busyRetry+rand.N(busySpread), a.Err)
	case a.Err != nil:
		return web.Unanswered(r, "access cannot be checked right now", accessRetry, a.Err)
	case !a.OK:
		return forbidden()
	}
	return nil
}

// sign is the last step of channel. Its errors are faults of ours, since form and name were
// checked before.
func (h *Handler) sign(kind event.ChannelKind, socketID, name string, member pusher.Member) ([]byte, error) {
	switch kind {
	case event.Private, event.Packed, event.Personal:
		return h.signer.AuthorizePrivate(socketID, name)
	case event.Encrypted:
		return h.signer.AuthorizeEncrypted(socketID, name)
	case event.Presence:
		return h.signer.AuthorizePresence(socketID, name, member)
	}
	return nil, fmt.Errorf("no way to sign a channel of kind %q", kind)
}

func (h *Handler) user(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	user, _, err := h.bearer(r)
	if err != nil {
		return nil, err
	}
	form, err := readForm(w, r, "socket_id")
	if err != nil {
		return nil, err
	}
	// The id and no more: pusher-js shows user_data to the page, which knows its
	// user, and a watchlist in it would tell one user when others are online.
	return h.signer.AuthorizeUser(form["socket_id"], map[string]any{"id": user.UserID})
}

// userKey is where the context of a request keeps the user that its route has verified.
type userKey struct{}

// Credential is the [web.Credential] of every route whose callers bring a Supabase JWT.
// The request that it returns knows its user.
func (h *Handler) Credential(r *http.Request) (*http.Request, error) {
	user, ctx, err := h.bearer(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(context.WithValue(ctx, userKey{}, user)), nil
}

// UserOf is the id of the user whose request this is, as the route's Credential has found
// it; "" without one.
func UserOf(r *http.Request) string {
	user, _ := r.Context().Value(userKey{}).(token.Claims)
	return user.UserID
}

// Listener is Credential for Channel and User, and counts its refusals as theirs.
func (h *Handler) Listener(r *http.Request) (*http.Request, error) {
	known, err := h.Credential(r)
	if err != nil {
		h.observe(result(r, err))
	}
	return known, err
}

// bearer verifies the request's token, if its route has not. The context returned carries
// it, for an Access that asks in the user's own name.
func (h *Handler) bearer(r *http.Request) (token.Claims, context.Context, error) {
	if user, ok := r.Context().Value(userKey{}).(token.Claims); ok {
		return user, r.Context(), nil
	}
	compact, _ := web.Bearer(r) // "" without a header: the verifier's ErrMissing
	user, err := h.verifier.Verify(r.Context(), compact)
	switch {
	case err == nil:
		return user, withBearer(r.Context(), compact), nil
	case errors.Is(err, token.ErrKeysUnavailable):
		return token.Claims{}, nil, web.Unanswered(r, token.Reason(err), token.RetryAfter, err)
	case token.Reason(err) == "":
		return token.Claims{}, nil, err
	default:
		// Which check failed helps the page (refresh the session, or not) and no
		// forger: a token is signed by Supabase Auth or worth nothing.
		return token.Claims{}, nil, web.Unauthorized(token.Reason(err), err)
	}
}

// forbidden is the one answer for a room that is not for this user, whether or
// not it exists.
func forbidden() error { return web.Forbidden("you may not read this room", nil) }
