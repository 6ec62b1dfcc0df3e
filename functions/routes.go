package main

import (
	"net/http"
	"strings"
	"time"

	"roomcast/shared/browser"
	"roomcast/shared/web"
)

// forwardLimit bounds the tries of one forward-only webhook: pg_net waits five
// seconds by default and would count a later answer as lost.
const forwardLimit = 4 * time.Second

// routes is the index of the function. Every repeat is harmless.
//
//	route                       who calls it                    code
//	POST /webhooks/supabase     pg_net, with WEBHOOK_SECRET     relay.Bell
//	POST /webhooks/pusher       Pusher, signed                  members.Handler.Presence
//	POST /pusher/auth           pusher-js, with a Supabase JWT  authorize.Handler.Channel
//	POST /pusher/user-auth      pusher-js, with a Supabase JWT  authorize.Handler.User
//	GET  /rooms/{room}/events   the browser client, likewise    history.Handler.Events
//	POST /parity                the browser client, likewise    parity.Handler.Receive
//	GET  /parity                the operator                    parity.Handler.Show
//	GET  /roomcast.js           browsers                        browser.Script
//	GET  /receipts.js           browsers, in the dual run       browser.Script
//	GET  /roomcast.json         the browser client              browser.Plan
//	GET  /healthz               Fly                             health, below
func (p *parts) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h web.HandlerFunc, opts ...web.Option) {
		mux.Handle(pattern, web.Handle(p.log, pattern, h, append(opts, web.Observe(p.metrics.request))...))
	}
	handle("POST /webhooks/supabase", p.bell.ServeHTTP)
	if p.members != nil {
		handle("POST /webhooks/pusher", p.members.Presence)
	}
	handle("POST /pusher/auth", p.limit.Guard(p.authorize.Channel))
	handle("POST /pusher/user-auth", p.limit.Guard(p.authorize.User))
	handle("GET /rooms/{room}/events", p.limit.Guard(p.history.Events))
	handle("POST /parity", p.limit.Guard(p.parity.Receive))
	handle("GET /parity", p.limit.Guard(p.parity.Show))
	handle("GET /roomcast.js", browser.NewScript().Serve)
	handle("GET /receipts.js", browser.NewReceipts().Serve)
	handle("GET /roomcast.json", p.cfg.plan.Serve)
	handle("GET /healthz", p.health, web.Quiet())
	return versioned(web.CORS(p.cfg.AllowedOrigins, p.nudging(mux)))
}

// nudging lets any request but a health check wake a relay whose bell was lost:
// clients that connect are one more backstop.
func (p *parts) nudging(next http.Handler) http.Handler {
	if p.relay == nil || p.freezes {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			p.relay.Nudge()
		}
		next.ServeHTTP(w, r)
	})
}

// health answers GET /healthz. It asks nobody: a database that is away must not
// make Fly restart the machine that waits for it. "ok" is about the configuration:
// it is whole, since a process whose configuration is not does not get
// as far as listening, and which of the two modes came of it: a DATABASE_URL that
// was lost on the way makes a relay that works and keeps no promise.
func (p *parts) health(w http.ResponseWriter, _ *http.Request) error {
	mode := "outbox"
	if p.cfg.forwardOnly() {
		mode = "forward-only"
	}
	channels := make([]string, len(p.cfg.kinds))
	for i, kind := range p.cfg.kinds {
		channels[i] = string(kind)
	}
	return web.WriteJSON(w, http.StatusOK, map[string]string{
		"status": "ok", "mode": mode, "channels": strings.Join(channels, ","), "version": version(),
	})
}
