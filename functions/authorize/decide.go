package authorize

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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
	kind, room, err := h.room(form["channel_name"])
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	if err := h.mayRead(ctx, r, room, user); err != nil {
		return nil, err
	}
	if !slices.Contains(h.channels.Of(room), kind) { // told to members only: it says which rooms there are
		return nil, web.Forbidden("this room has no channel of kind "+string(kind), nil)
	}
	member := pusher.Member{UserID: user.UserID}
	if kind == event.Presence {
		if member.Info, err = h.info(ctx, room, user); err != nil {
			return nil, unavailable(r, "member info cannot be read right now", accessRetry, err)
		}
	}
	return h.sign(kind, form["socket_id"], form["channel_name"], member)
}

// Reader says whose request this is, if that user may read the room: the decision
// that Channel signs, for a handler that gives a room's events out by another way.
// Its errors are the same answers: 401, 403, 503.
func (h *Handler) Reader(r *http.Request, room string) (userID string, err error) {
	user, ctx, err := h.bearer(r)
	if err != nil {
		return "", err
	}
	if !storable(room) {
		return "", forbidden()
	}
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	return user.UserID, h.mayRead(ctx, r, room, user)
}

// mayRead asks the database, and turns all but a yes into an answer.
func (h *Handler) mayRead(ctx context.Context, r *http.Request, room string, user token.Claims) error {
	switch ok, err := h.access.CanRead(ctx, room, user.UserID, user.Raw); {
	case errors.Is(err, ErrBusy):
		return unavailable(r, "too many requests at once", busyRetry+rand.N(busySpread), err)
	case err != nil:
		return unavailable(r, "access cannot be checked right now", accessRetry, err)
	case !ok:
		return forbidden()
	}
	return nil
}

// sign is the last step of channel. Its errors are faults of ours: form and name
// are in order by now.
func (h *Handler) sign(kind event.ChannelKind, socketID, name string, member pusher.Member) ([]byte, error) {
	switch kind {
	case event.Private, event.Packed:
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
		return token.Claims{}, nil, unavailable(r, token.Reason(err), token.RetryAfter, err)
	case token.Reason(err) == "":
		return token.Claims{}, nil, err
	default:
		// Which check failed helps the page (refresh the session, or not) and no
		// forger: a token is signed by Supabase Auth or worth nothing.
		return token.Claims{}, nil, web.Unauthorized(token.Reason(err), err)
	}
}

// room reads a channel's name. Pusher signs whatever text it is given, and a
// name with a colon can be a sign-in as somebody else (testdata/vectors.md,
// section 6): nothing that event.ChannelName would not write gets past here.
func (h *Handler) room(name string) (event.ChannelKind, string, error) {
	kind, room, err := event.ParseChannel(name)
	switch {
	case err != nil:
		return "", "", web.Forbidden("not a room's channel", err)
	case kind == event.Public:
		return "", "", web.Forbidden("public channels need no authorization", nil)
	case !h.channels.InUse(kind):
		return "", "", web.Forbidden("this kind of channel is not in use", nil)
	case !storable(room):
		return "", "", forbidden()
	}
	return kind, room, nil
}

// storable reports whether a text in Postgres can hold this room's id. A channel's
// name can spell others, and asking about them would be an error, which must not
// look like a database that is down.
func storable(room string) bool { return utf8.ValidString(room) && strings.IndexByte(room, 0) < 0 }

// forbidden is the one answer for a room that is not for this user, whether or
// not it exists.
func forbidden() error { return web.Forbidden("you may not read this room", nil) }
