package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"roomcast/functions/authorize"
	"roomcast/functions/canary"
	"roomcast/functions/forward"
	"roomcast/functions/history"
	"roomcast/functions/inbox"
	"roomcast/functions/parity"
	"roomcast/functions/presence"
	"roomcast/functions/relay"
	"roomcast/functions/revoke"
	"roomcast/shared/access"
	"roomcast/shared/admin"
	"roomcast/shared/audit"
	"roomcast/shared/event"
	"roomcast/shared/listen"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
	"roomcast/shared/token"
	"roomcast/shared/web"
)

// relayConns and frontConns bound the two pools: the hot loop needs three or four
// connections, the rest answer browsers. Supabase's smaller plans allow 60 in all.
const (
	relayConns = 4
	frontConns = 8
	// dearConns is how many of frontConns pages of history and reports may use at once.
	dearConns = 3
)

// app is the handlers and what they stand on.
type app struct {
	cfg     Config
	log     *slog.Logger
	metrics *observations
	freezes bool // nothing runs between two requests

	db        *outbox.DB     // the relay's; nil in forward-only mode
	claims    *access.Claims // whether the database looks at users' claims
	front     *outbox.DB     // the browsers', so that a storm of them leaves the relay its connections
	coalescer *authorize.Coalescer
	relay     *relay.Relay // nil in forward-only mode
	webhook   web.HandlerFunc
	authorize *authorize.Handler
	history   *history.Handler
	inbox     *inbox.Handler    // nil without INBOX
	hints     *inbox.Hints      // likewise
	presence  *presence.Handler // nil in forward-only mode
	parity    *parity.Handler
	selfcheck *selfCheck
	admission admission
	proxied   sync.Once // whether the log has said that a proxy is not named
}

// assemble wires everything and connects nothing. Its error names every part
// that cannot be made.
func assemble(cfg Config, log *slog.Logger, freezes bool) (*app, error) {
	a := &app{cfg: cfg, log: log, metrics: newObservations(), freezes: freezes}
	push, err := pusher.New(pusher.Config{
		AppID: cfg.PusherAppID, Key: cfg.PusherKey, Secret: string(cfg.PusherSecret),
		Cluster: cfg.PusherCluster, Host: cfg.PusherHost, TLS: cfg.PusherTLS,
		EncryptionKey: string(cfg.PusherEncryptionKey),
	})
	tokens, tokenErr := token.New(token.Config{
		SupabaseURL: cfg.SupabaseURL, JWTSecret: string(cfg.SupabaseJWTSecret),
		AllowAnonymous: cfg.AllowAnonymous, Leeway: token.DefaultLeeway, Log: log,
	})
	readers, accessErr := a.openAccess()
	if err := errors.Join(err, tokenErr, accessErr); err != nil {
		return nil, fmt.Errorf("configuration:\n%w", err)
	}
	a.admission = newAdmission(cfg, freezes)
	a.selfcheck = &selfCheck{cfg: cfg, pusher: push, tokens: tokens, journal: newJournal(push), db: a.db, freezes: freezes, turn: make(chan struct{}, 1)}
	a.newAuthorizer(tokens, readers, push)
	a.history = &history.Handler{Authorizer: a.authorize, Log: log}
	receipts := parity.Config{Reader: a.authorize, Observe: a.metrics.arrived}
	if a.db != nil {
		a.history.Store, receipts.Store = a.front, audit.Store{DB: a.front}
	}
	a.parity = parity.New(receipts)
	if a.db == nil {
		a.forwardTo(push)
	} else {
		a.relayFrom(push)
	}
	return a, nil
}

// openAccess opens the database, or PostgREST in its place.
func (a *app) openAccess() (authorize.Access, error) {
	if a.cfg.forwardOnly() {
		if a.cfg.SupabaseKey == "" {
			return nobody{}, nil
		}
		return authorize.NewREST(authorize.RESTConfig{
			SupabaseURL: a.cfg.SupabaseURL, Key: string(a.cfg.SupabaseKey),
			Tables: a.cfg.MembersTables, RoomColumn: a.cfg.RoomColumn, UserColumn: a.cfg.UserColumn,
		})
	}
	db, err := outbox.Open(string(a.cfg.DatabaseURL), relayConns, outbox.WithCA(a.cfg.DatabaseCA), outbox.WithApp(a.cfg.PusherAppID))
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	front, err := outbox.Open(string(a.cfg.DatabaseURL), frontConns, outbox.WithCA(a.cfg.DatabaseCA))
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	a.db, a.front = db, front
	a.claims = &access.Claims{}
	return access.Store{DB: front, Claims: a.claims}, nil
}

// rememberFor is how long a yes is remembered: less than the time between the two disconnects
// of a departure, of which other machines are not told. The rest is for what is on its way.
const rememberFor = revoke.Grace * 3 / 4

// newAuthorizer wraps the access check in the request coalescer. Without a database
// nobody announces the end of an access, so there a yes is not remembered.
func (a *app) newAuthorizer(tokens *token.Verifier, readers authorize.Access, push *pusher.Client) {
	coalescer := authorize.CoalescerConfig{Access: readers, Slots: frontConns / 2}
	if a.db != nil {
		coalescer.Remember = rememberFor
	}
	a.coalescer = authorize.NewCoalescer(coalescer)
	cfg := authorize.Config{
		Verifier: tokens, Access: a.coalescer, Signer: push, Kinds: a.cfg.kinds, PackedRooms: a.cfg.PackedRooms,
		Observe: a.metrics.authorized,
	}
	if a.front != nil {
		cfg.Info = a.coalescer.Info(access.Store{DB: a.front, Claims: a.claims})
	}
	a.authorize = authorize.New(cfg)
}

// nobody may read anything: the access of a function with public channels only.
type nobody struct{}

// CanRead is always false.
func (nobody) CanRead(context.Context, string, string, []byte) (bool, error) { return false, nil }

// firstDisconnects is when a new process makes the disconnects that others left behind. At once
// its first event would wait for a second connection to the database: to prove the password
// (SCRAM) takes a millisecond of CPU.
const firstDisconnects = 500 * time.Millisecond

func (a *app) relayFrom(push *pusher.Client) {
	var beside func(context.Context)
	if a.cfg.Canary {
		beside = a.newCanary(push).Run
	}
	first := firstDisconnects
	if a.freezes {
		first = 0
	}
	a.relay = relay.New(relay.Config{
		Name: a.cfg.place.relayName(), Place: a.cfg.place.name, Outbox: a.db, Publisher: a.selfcheck.journal, Channels: a.cfg.kinds, PackedRooms: a.cfg.PackedRooms,
		Observer: a.metrics, Log: a.log,
		Claim: outbox.Limits{Lease: a.cfg.ClaimLease}, Linger: a.cfg.Linger,
		Accepted: a.openInbox(push), Beside: beside,
		Revoker: revoke.New(revoke.Config{
			Store: access.Store{DB: a.db}, Terminator: push, Log: a.log, Forget: a.coalescer.Forget, Observe: a.metrics.revoked, FirstPoll: first,
		}),
	})
	a.presence = &presence.Handler{
		Verifier: push, Store: access.Store{DB: a.front}, Announce: a.cfg.PresenceEvents, Wake: a.relay.Wake, Clock: time.Now,
		Verified: a.working,
	}
	a.selfcheck.relay, a.metrics.journal = a.relay, a.selfcheck.journal
	a.selfcheck.polling = newPolling(a.relay.Trouble)
	a.history.Poll = a.selfcheck.polling.seconds
	a.metrics.watchPusher(a.relay.Trouble)
	operator := admin.Operator{DB: a.db}
	a.metrics.watch(a.relay.Busy, &backlogGauge{ask: operator.Backlog})
	a.metrics.watchSnapshots(a.relay.Busy, &snapshotGauge{ask: operator.SnapshotHolders})
	webhook := &relay.Webhook{Wake: a.relay.Wake}
	if a.freezes {
		webhook.Empty = a.empty
	}
	a.webhook = webhook.ServeHTTP
}

// newCanary makes what hears the relay's own rows. On Lambda it is never run.
func (a *app) newCanary(push *pusher.Client) *canary.Canary {
	channel, _ := event.ChannelName(event.Canary, event.CanaryKey)
	c := &a.cfg
	a.metrics.watchCanary()
	return canary.New(canary.Config{
		Store: a.db, Log: a.log,
		Observe: func(result string, took time.Duration) {
			a.metrics.heard(result, took)
			a.selfcheck.journal.heard(result, took)
		},
		Listen: listen.Config{
			URL:     listen.Address(c.PusherKey, c.PusherCluster, c.PusherHost, c.PusherTLS, "roomcast-canary"),
			Channel: channel,
			Authorize: func(_ context.Context, socketID string) ([]byte, error) {
				return push.AuthorizePrivate(socketID, channel)
			},
		},
	})
}

// openInbox makes the inbox where it is wanted, and returns what the relay tells it.
func (a *app) openInbox(push *pusher.Client) func(event.Change) {
	if !a.cfg.Inbox {
		return nil
	}
	a.inbox = &inbox.Handler{Authorizer: a.authorize, Store: access.Store{DB: a.front, Claims: a.claims}}
	a.hints = inbox.NewHints(access.Store{DB: a.db}, push, a.log)
	return a.hints.Accepted
}

// empty sends all that waits, for a platform on which nothing runs after the answer.
func (a *app) empty(ctx context.Context) error {
	err := a.relay.Empty(ctx)
	if a.hints != nil {
		a.hints.Finish()
	}
	return err
}

func (a *app) forwardTo(push *pusher.Client) {
	a.webhook = (&forward.Handler{
		Pusher: push, Channels: event.NewChannels(a.cfg.kinds, a.cfg.PackedRooms),
		Messages: a.cfg.MessagesTables, Members: a.cfg.MembersTables, RoomColumn: a.cfg.RoomColumn, UserColumn: a.cfg.UserColumn,
		Limit: forwardLimit, Observer: a.metrics, Log: a.log,
	}).ServeHTTP
}

func (a *app) close() {
	if a.db != nil {
		a.db.Close()
		a.front.Close()
	}
}
