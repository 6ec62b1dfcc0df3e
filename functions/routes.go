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
//	POST /webhooks/supabase     pg_net, with WEBHOOK_SECRET     relay.Webhook
//	POST /webhooks/pusher       Pusher, signed                  presence.Handler.Presence
//	POST /pusher/auth           pusher-js, with a Supabase JWT  authorize.Handler.Channel
//	POST /pusher/user-auth      pusher-js, with a Supabase JWT  authorize.Handler.User
//	GET  /rooms/{room}/events   the browser client, likewise    history.Handler.Events
//	POST /parity                the browser client, likewise    parity.Handler.Receive
//	GET  /parity                the operator                    parity.Handler.Show
//	GET  /roomcast.js           browsers                        browser.Script
//	GET  /receipts.js           browsers, in the dual run       browser.Script
//	GET  /roomcast.json         the browser client              browser.Plan
//	GET  /healthz               Fly                             health, below
func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h web.HandlerFunc, opts ...web.Option) {
		mux.Handle(pattern, web.Handle(a.log, pattern, h, append(opts, web.Observe(a.metrics.request))...))
	}
	handle("POST /webhooks/supabase", a.webhook)
	if a.presence != nil {
		handle("POST /webhooks/pusher", a.presence.Presence)
	}
	handle("POST /pusher/auth", a.limit.Guard(a.authorize.Channel))
	handle("POST /pusher/user-auth", a.limit.Guard(a.authorize.User))
	handle("GET /rooms/{room}/events", a.limit.Guard(a.history.Events))
	handle("POST /parity", a.limit.Guard(a.parity.Receive))
	handle("GET /parity", a.limit.Guard(a.parity.Show))
	handle("GET /roomcast.js", browser.NewScript().Serve)
	handle("GET /receipts.js", browser.NewReceipts().Serve)
	handle("GET /roomcast.json", a.cfg.plan.Serve)
	handle("GET /healthz", a.health, web.Quiet())
	return versioned(web.CORS(a.cfg.AllowedOrigins, a.wakingIfWaiting(mux)))
}

// wakingIfWaiting lets any request but a health check wake a relay whose wake-up webhook
// was lost: clients that connect are one more backstop.
func (a *app) wakingIfWaiting(next http.Handler) http.Handler {
	if a.relay == nil || a.freezes {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			a.relay.WakeIfWaiting()
		}
		next.ServeHTTP(w, r)
	})
}

// health answers GET /healthz. It asks nobody: a database that is away must not
// make Fly restart the machine that waits for it. "ok" is about the configuration:
// it is whole, since a process whose configuration is not does not get
// as far as listening, and which of the two modes came of it: a DATABASE_URL that
// was lost on the way makes a relay that works and keeps no promise.
func (a *app) health(w http.ResponseWriter, _ *http.Request) error {
	mode := "outbox"
	if a.cfg.forwardOnly() {
		mode = "forward-only"
	}
	channels := make([]string, len(a.cfg.kinds))
	for i, kind := range a.cfg.kinds {
		channels[i] = string(kind)
	}
	return web.WriteJSON(w, http.StatusOK, map[string]string{
		"status": "ok", "mode": mode, "channels": strings.Join(channels, ","), "version": version(),
	})
}
