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
	"os"
	"strings"

	"roomcast/functions/authorize"
	"roomcast/functions/history"
	"roomcast/functions/relay"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
	"roomcast/shared/runtime"
	"roomcast/shared/token"
)

func main() {
	if err := run(context.Background(), os.Environ(), os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "roomcast:", err)
		os.Exit(1)
	}
}

// maxConns bounds the database pool: the hot loop needs two, the rest answer
// browsers. Supabase's smaller plans allow 60 connections in all.
const maxConns = 10

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
		go parts.relay.Run(ctx) // Drain waits for it
	}
	return runtime.Run(ctx, rt, parts.routes())
}

// parts are the handlers and what they stand on.
type parts struct {
	cfg     Config
	log     *slog.Logger
	metrics *observations
	freezes bool // nothing runs between two requests

	db        *outbox.DB   // nil in forward-only mode
	relay     *relay.Relay // nil in forward-only mode
	bell      *relay.Bell
	authorize *authorize.Handler
	history   *history.Handler
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
	access, accessErr := p.openAccess()
	if err := errors.Join(err, tokenErr, accessErr); err != nil {
		return nil, fmt.Errorf("configuration:\n%w", err)
	}
	p.authorize = authorize.New(authorize.Config{
		Verifier: tokens, Access: access, Signer: push, Kinds: cfg.kinds, Observe: p.metrics.authorized,
	})
	p.history = &history.Handler{Gate: p.authorize, Log: log}
	if p.db != nil {
		p.history.Store = p.db
	}
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
	db, err := outbox.Open(string(p.cfg.DatabaseURL), maxConns)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	p.db = db
	return db, nil
}

// nobody may read anything: the access of a function with public channels only.
type nobody struct{}

// CanRead is always false.
func (nobody) CanRead(context.Context, string, string, []byte) (bool, error) { return false, nil }

func (p *parts) relayFrom(push *pusher.Client) {
	p.relay = relay.New(relay.Config{
		Name: relayName(), Outbox: p.db, Publisher: push, Channels: p.cfg.kinds,
		Observer: p.metrics, Log: p.log,
		Claim: outbox.Limits{Lease: p.cfg.ClaimLease}, Linger: p.cfg.Linger,
	})
	p.metrics.watch(p.relay.Busy, &backlogGauge{look: p.db.Backlog})
	p.bell.Ring = p.relay.Ring
	if p.freezes {
		p.bell.Empty = p.relay.Empty
	}
}

func (p *parts) forward(push *pusher.Client) {
	p.bell.Forward = (&relay.Forward{
		Publisher: push, Channels: p.cfg.kinds, Observer: p.metrics, Log: p.log,
		Members: p.cfg.MembersTables, RoomColumn: "room_id", UserColumn: "user_id", Limit: forwardLimit,
	}).Publish
}

func (p *parts) close() {
	if p.db != nil {
		p.db.Close()
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
