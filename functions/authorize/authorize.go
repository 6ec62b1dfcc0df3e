// Package authorize decides who may listen. pusher-js sends it one request for each
// channel and connection, again at every reconnect, with the user's Supabase token.
//
// It checks, in this order: the form names exactly one connection (and one channel); the
// token is a user's; the channel's name is one that this package would have written; the
// database says that the user may read the room. Only then is anything signed. If a check
// cannot be made, as while the database is down, the request is refused.
package authorize

import (
	"context"
	"net/http"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/token"
)

// Verifier turns a bearer token into claims; *token.Verifier is one. Its errors
// are those of package token.
type Verifier interface {
	Verify(ctx context.Context, token string) (token.Claims, error)
}

// Access says whether a user may read a room; access.Store is one, and [REST].
// false covers every way of not being allowed, a room that does not exist
// included. claims is the token's claims object as JSON.
type Access interface {
	CanRead(ctx context.Context, room, userID string, claims []byte) (bool, error)
}

// Signer writes what Pusher accepts as proof; *pusher.Client is one.
type Signer interface {
	AuthorizePrivate(socketID, channel string) ([]byte, error)
	AuthorizePresence(socketID, channel string, member pusher.Member) ([]byte, error)
	AuthorizeEncrypted(socketID, channel string) ([]byte, error)
	AuthorizeUser(socketID string, userData map[string]any) ([]byte, error)
}

var (
	_ Verifier = (*token.Verifier)(nil)
	_ Signer   = (*pusher.Client)(nil)
)

// MemberInfo returns what the other members of a presence channel see of a user:
// at most pusher.MaxMemberInfo bytes as JSON, nothing that is not for them.
type MemberInfo func(ctx context.Context, room string, user token.Claims) (map[string]any, error)

// Config is what a Handler is made of. Verifier, Access and Signer are required.
type Config struct {
	Verifier Verifier
	Access   Access
	Signer   Signer
	// Kinds are the channels in use. Others are refused even to members, and
	// public ones always: Pusher asks nobody about those.
	Kinds []event.ChannelKind
	// PackedRooms are the rooms that have event.Packed, if that is among Kinds; empty:
	// all. See event.NewChannels for what the other rooms have.
	PackedRooms []string
	// Info defaults to [InfoFromToken].
	Info MemberInfo
	// Observe, if set, is called once per channel or sign-in with one of the Results.
	Observe func(result string)
}

// ManyAccess is an Access that answers about many rooms at once; [Coalescer] is one.
type ManyAccess interface {
	CanReadMany(ctx context.Context, rooms []string, userID string, claims []byte) []Answer
}

var _ ManyAccess = (*Coalescer)(nil)

// The results that Config.Observe is told.
const (
	ResultAllowed     = "allowed"
	ResultBadRequest  = "bad_request" // 400, 408, 413, 415: no pusher-js sends that
	ResultBadToken    = "bad_token"   // 401
	ResultForbidden   = "forbidden"   // 403: the channel, or the room to this user
	ResultUnavailable = "unavailable" // 503: database or key set
	ResultBusy        = "busy"        // 503: shed, see Coalescer
	ResultError       = "error"       // 500
	ResultGone        = "client_gone" // hung up before the answer
)

// Handler answers what pusher-js and our client ask before they listen.
type Handler struct {
	verifier Verifier
	access   Access
	signer   Signer
	channels event.Channels
	info     MemberInfo
	observe  func(result string)
}

// New returns a Handler.
func New(cfg Config) *Handler {
	h := &Handler{
		verifier: cfg.Verifier,
		access:   cfg.Access,
		signer:   cfg.Signer,
		channels: event.NewChannels(cfg.Kinds, cfg.PackedRooms),
		info:     cfg.Info,
		observe:  cfg.Observe,
	}
	if h.info == nil {
		h.info = InfoFromToken
	}
	if h.observe == nil {
		h.observe = func(string) {}
	}
	return h
}

// Channel handles POST /pusher/auth: may this user, on this connection, hear
// this channel? Repeats are harmless.
func (h *Handler) Channel(w http.ResponseWriter, r *http.Request) error {
	signed, err := h.channel(w, r)
	return h.answer(w, r, signed, err)
}

// User handles POST /pusher/user-auth: who is on this connection? A connection that has
// signed in can be ended by user id when access ends. Repeats are harmless.
func (h *Handler) User(w http.ResponseWriter, r *http.Request) error {
	signed, err := h.user(w, r)
	return h.answer(w, r, signed, err)
}
