package main

import (
	"net/http"
	"strings"
	"time"

	"roomcast/functions/history"
	"roomcast/functions/inbox"
	"roomcast/functions/parity"
	"roomcast/shared/browser"
	"roomcast/shared/runtime"
	"roomcast/shared/web"
)

// forwardLimit bounds the tries of one forward-only webhook: pg_net waits five
// seconds by default and would count a later answer as lost.
const forwardLimit = 4 * time.Second

// routes is the index of the function. Every repeat is harmless. On each route the
// caller's credential comes first, then its body, then the handler.
//
//	route                       who calls it                    code
//	POST /webhooks/supabase     pg_net, with WEBHOOK_SECRET     relay.Webhook
//	POST /webhooks/pusher       Pusher, signed                  presence.Handler.Presence
//	POST /pusher/auth           pusher-js, with a Supabase JWT  authorize.Handler.Channel
//	POST /pusher/auth/batch     our client, likewise            authorize.Handler.Batch
//	POST /pusher/user-auth      pusher-js, with a Supabase JWT  authorize.Handler.User
//	GET  /rooms/{room}/events   the browser client, likewise    history.Handler.Events
//	POST /events                likewise, for many rooms        history.Handler.Many
//	GET  /me/events             likewise, the user's own stream history.Handler.Mine
//	GET  /me/rooms              likewise, with INBOX            inbox.Handler.Rooms
//	POST /rooms/{room}/read     likewise                        inbox.Handler.Read
//	POST /parity                the browser client, likewise    parity.Handler.Receive
//	GET  /parity                the operator                    parity.Handler.Show
//	GET  /roomcast.js           browsers                        browser.Script
//	GET  /parts/{part}          roomcast.js, where needed       browser.Parts
//	GET  /receipts.js           browsers, in the dual run       browser.Script
//	GET  /roomcast.d.ts         editors and compilers           browser.Script
//	GET  /roomcast.json         the browser client              browser.Plan
//	GET  /selfcheck             doctor, deploy: WEBHOOK_SECRET  selfCheck
//	GET  /healthz               Fly                             health, below
func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h web.HandlerFunc, opts ...web.Option) {
		mux.Handle(pattern, web.Handle(a.log, pattern, h, append(opts, web.Observe(a.metrics.request))...))
	}
	by := a.admission
	limit, dear, answers := web.Limit(by.limit), web.InTurn(by.dear, by.caller), web.Answers(by.answers)
	hooks, bodies, unproven := web.Bodies(by.hooks, bodyTime), web.Bodies(by.bodies, bodyTime), web.Bodies(by.unproven, unprovenTime)
	webhook := web.Credential(by.webhook.Credential, a.working)
	operator := web.Credential(parity.Operator(by.operator), a.working)
	listener, user := web.Credential(a.authorize.Listener, a.working), web.Credential(a.authorize.Credential, a.working)

	handle("POST /webhooks/supabase", a.webhook, webhook, hooks)
	if a.presence != nil {
		handle("POST /webhooks/pusher", a.presence.Presence, web.Credential(a.presence.Form, nil), unproven)
	}
	handle("POST /pusher/auth", a.authorize.Channel, limit, listener, bodies)
	handle("POST /pusher/auth/batch", a.authorize.Batch, limit, listener, bodies, answers)
	handle("POST /pusher/user-auth", a.authorize.User, limit, listener, bodies)
	handle("GET /rooms/{room}/events", a.history.Events, limit, user, dear, answers)
	handle("POST /events", a.history.Many, limit, user, bodies, web.Whole(history.MaxManyBody), dear, answers)
	handle("GET /me/events", a.history.Mine, limit, user, dear, answers)
	if a.inbox != nil {
		handle("GET /me/rooms", a.inbox.Rooms, limit, user, dear, answers)
		handle("POST /rooms/{room}/read", a.inbox.Read, limit, user, bodies, web.Whole(inbox.MaxBody), dear)
	}
	handle("POST /parity", a.parity.Receive, limit, user, bodies)
	handle("GET /parity", a.parity.Show, limit, operator, dear, answers)
	handle("GET /roomcast.js", browser.NewScript().Serve, limit)
	handle("GET /parts/{part}", browser.NewParts().Serve, limit)
	handle("GET /receipts.js", browser.NewReceipts().Serve, limit)
	handle("GET /roomcast.d.ts", browser.NewTypes().Serve, limit)
	handle("GET /roomcast.json", a.cfg.plan.Serve, limit)
	handle("GET /selfcheck", a.selfcheck.ServeHTTP, web.Credential(by.webhook.Credential, nil))
	handle("GET /healthz", a.health, web.Quiet())
	return web.DropUnread(versioned(web.CORS(a.cfg.AllowedOrigins, mux)))
}

// working is called for every request that has shown a valid credential. Only such a
// request keeps the process from leaving as idle, and makes a sleeping relay check for
// rows whose wake-up webhook was lost.
func (a *app) working(r *http.Request) {
	runtime.Working(r.Context())
	if a.cfg.addresses(a.freezes) == (web.Addresses{}) && !a.freezes && r.Header.Get("X-Forwarded-For") != "" {
		a.proxied.Do(func() {
			a.log.Warn("requests come through a proxy: set TRUSTED_PROXIES, or all its clients share the limits of one address")
		})
	}
	if a.relay != nil && !a.freezes {
		a.relay.WakeIfWaiting()
	}
}

// health answers GET /healthz. It calls neither the database nor Pusher: a database that is
// away must not make Fly restart the machine. "ok" means that the configuration is complete,
// without which the process would not listen. mode shows whether DATABASE_URL was lost on
// the way: forward-only mode works, and keeps no promise.
func (a *app) health(w http.ResponseWriter, _ *http.Request) error {
	return web.WriteJSON(w, http.StatusOK, map[string]string{
		"status": "ok", "mode": a.cfg.mode(), "channels": strings.Join(kindNames(a.cfg.kinds), ","), "version": version(),
	})
}
