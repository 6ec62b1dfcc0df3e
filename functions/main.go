// The function: every handler of Roomcast in one program, for Fly Machines that
// start on request, or for Lambda.
//
// It reads its configuration from the environment (config.go), answers the
// routes of routes.go, and between them runs the relay's hot loop.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"roomcast/functions/authorize"
	"roomcast/functions/history"
	"roomcast/functions/members"
	"roomcast/functions/parity"
	"roomcast/functions/relay"
	"roomcast/shared/access"
	"roomcast/shared/admin"
	"roomcast/shared/audit"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
	"roomcast/shared/runtime"
	"roomcast/shared/token"
	"roomcast/shared/web"
)

func main() {
	debug.SetGCPercent(gcPercent)
	if err := run(context.Background(), os.Environ(), os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "roomcast:", err)
		os.Exit(1)
	}
}

// gcPercent lets the heap grow by twice what lives before it is collected. With Go's own
// 100 a heap as small as ours is collected every 4 MB, and profiles of forward-only mode
// showed about a tenth of its CPU in that. The price is memory: a drain's peak was 35 MB
// with it (infra/load, limit 40). It overrides the environment's GOGC.
const gcPercent = 200

// relayConns and frontConns bound the two pools: the hot loop needs two or three
// connections, the rest answer browsers. Supabase's smaller plans allow 60 in all.
const (
	relayConns = 4
	frontConns = 6
)

// burstSeconds is how many seconds' share of CLIENT_RATE an address may take at once:
// an office is one address, and all of it comes back together.
const burstSeconds = 20

// run is the program: it returns nil when it left in order.
func run(ctx context.Context, environ []string, logTo io.Writer) error {
	cfg, err := loadConfig(environ)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(logTo, &slog.HandlerOptions{Level: cfg.LogLevel}))
	parts, err := assemble(cfg, log, runtime.Freezes(lookup(environ)))
	if err != nil {
		return err
	}
	defer parts.close()
	log.Info("starting", "version", version(), "config", &cfg)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	rt := runtime.Config{
		Lambda:          parts.freezes,
		LambdaStreaming: cfg.LambdaStreaming,
		Addr:            cfg.address(cfg.Port),
		MetricsAddr:     cfg.address(cfg.MetricsPort),
		Metrics:         parts.metrics,
		IdleExit:        cfg.IdleExit,
		NotWork:         []string{"/healthz"},
		Log:             log,
	}
	if parts.relay != nil && !parts.freezes {
		rt.Worker = parts.relay
		// Not before the port is open: whoever started us waits for that.
		rt.Ready = func(_, _ net.Addr) { go parts.relay.Run(ctx) } // Drain waits for it
	}
	return runtime.Run(ctx, rt, parts.routes())
}

// parts are the handlers and what they stand on.
type parts struct {
	cfg     Config
	log     *slog.Logger
	metrics *observations
	freezes bool // nothing runs between two requests

	db        *outbox.DB // the relay's; nil in forward-only mode
	front     *outbox.DB // the browsers', so that a storm of them leaves the relay its connections
	gate      *authorize.Gate
	relay     *relay.Relay // nil in forward-only mode
	bell      *relay.Bell
	authorize *authorize.Handler
	history   *history.Handler
	members   *members.Handler // nil in forward-only mode
	parity    *parity.Handler
	limit     *web.Limiter
}

// assemble wires everything and connects nothing. Its error names every part
// that cannot be made.
func assemble(cfg Config, log *slog.Logger, freezes bool) (*parts, error) {
	p := &parts{cfg: cfg, log: log, metrics: newObservations(), freezes: freezes}
	push, err := pusher.New(pusher.Config{
		AppID: cfg.PusherAppID, Key: cfg.PusherKey, Secret: string(cfg.PusherSecret),
		Cluster: cfg.PusherCluster, Host: cfg.PusherHost, TLS: cfg.PusherTLS,
		EncryptionKey: string(cfg.PusherEncryptionKey),
	})
	tokens, tokenErr := token.New(token.Config{
		SupabaseURL: cfg.SupabaseURL, JWTSecret: string(cfg.SupabaseJWTSecret),
		AllowAnonymous: cfg.AllowAnonymous, Leeway: token.DefaultLeeway, Log: log,
	})
	readers, accessErr := p.openAccess()
	if err := errors.Join(err, tokenErr, accessErr); err != nil {
		return nil, fmt.Errorf("configuration:\n%w", err)
	}
	p.guard(tokens, readers, push)
	p.history = &history.Handler{Gate: p.authorize, Log: log}
	receipts := parity.Config{Reader: p.authorize, Secrets: cfg.webhookSecrets()}
	if p.db != nil {
		p.history.Store, receipts.Store = p.front, audit.Store{DB: p.front}
	}
	p.parity = parity.New(receipts)
	p.bell = &relay.Bell{Secrets: cfg.webhookSecrets(), Log: log}
	if p.db == nil {
		p.forward(push)
	} else {
		p.relayFrom(push)
	}
	return p, nil
}

// openAccess opens the database, or PostgREST in its place.
func (p *parts) openAccess() (authorize.Access, error) {
	if p.cfg.forwardOnly() {
		if p.cfg.SupabaseKey == "" {
			return nobody{}, nil
		}
		return authorize.NewREST(authorize.RESTConfig{SupabaseURL: p.cfg.SupabaseURL, Key: string(p.cfg.SupabaseKey)})
	}
	db, err := outbox.Open(string(p.cfg.DatabaseURL), relayConns)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	front, err := outbox.Open(string(p.cfg.DatabaseURL), frontConns)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	p.db, p.front = db, front
	return access.Store{DB: front}, nil
}

// guard puts the gate before whoever says who may read. Without a database nobody
// queues the end of an access, so there a yes is not remembered.
func (p *parts) guard(tokens *token.Verifier, readers authorize.Access, push *pusher.Client) {
	gate := authorize.GateConfig{Access: readers, Slots: frontConns - 2} // the others are for history and member info
	if p.db != nil {
		gate.Remember = relay.CutGrace * 3 / 4 // the rest is for what is on its way
	}
	p.gate = authorize.NewGate(gate)
	cfg := authorize.Config{
		Verifier: tokens, Access: p.gate, Signer: push, Kinds: p.cfg.kinds, PackedRooms: p.cfg.PackedRooms,
		Observe: p.metrics.authorized,
	}
	if p.front != nil {
		cfg.Info = p.gate.Info(access.Store{DB: p.front})
	}
	p.authorize = authorize.New(cfg)
	p.limit = web.NewLimiter(p.cfg.ClientRate, p.cfg.ClientRate*burstSeconds, time.Now)
}

// nobody may read anything: the access of a function with public channels only.
type nobody struct{}

// CanRead is always false.
func (nobody) CanRead(context.Context, string, string, []byte) (bool, error) { return false, nil }

func (p *parts) relayFrom(push *pusher.Client) {
	p.relay = relay.New(relay.Config{
		Name: relayName(), Outbox: access.Store{DB: p.db}, Publisher: push, Channels: p.cfg.kinds, PackedRooms: p.cfg.PackedRooms,
		Observer: p.metrics, Log: p.log,
		Claim: outbox.Limits{Lease: p.cfg.ClaimLease}, Linger: p.cfg.Linger,
		Cuts: relay.Cuts{Terminator: push, Forget: p.gate.Forget, Observe: p.metrics.cut},
	})
	p.members = &members.Handler{
		Verifier: push, Store: access.Store{DB: p.front}, Announce: p.cfg.PresenceEvents, Ring: p.relay.Ring, Clock: time.Now,
	}
	p.metrics.watch(p.relay.Busy, &backlogGauge{look: admin.Operator{DB: p.db}.Backlog})
	p.bell.Ring = p.relay.Ring
	if p.freezes {
		p.bell.Empty = p.relay.Empty
	}
}

func (p *parts) forward(push *pusher.Client) {
	p.bell.Forward = (&relay.Forward{
		Publisher: push, Terminator: push, Channels: event.NewChannels(p.cfg.kinds, p.cfg.PackedRooms), Observer: p.metrics, Log: p.log,
		Members: p.cfg.MembersTables, RoomColumn: "room_id", UserColumn: "user_id", Limit: forwardLimit,
	}).Publish
}

func (p *parts) close() {
	if p.db != nil {
		p.db.Close()
		p.front.Close()
	}
}

// relayName tells operators which process holds a room.
func relayName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "relay"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// lookup reads one variable from a list of KEY=value.
func lookup(environ []string) func(string) string {
	return func(name string) string {
		for _, pair := range environ {
			if key, value, ok := strings.Cut(pair, "="); ok && key == name {
				return value
			}
		}
		return ""
	}
}
