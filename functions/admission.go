package main

import (
	"net/http"
	"time"

	"roomcast/functions/authorize"
	"roomcast/shared/web"
)

// admission is what every request passes before its handler: limits, secrets, budgets of
// memory, and turns at the database.
type admission struct {
	limit    *web.Limiter // requests of one address, of any kind
	webhook  *web.Secrets // WEBHOOK_SECRET
	operator *web.Secrets // PARITY_SECRET

	hooks    *web.Budget // bodies of Postgres' webhooks
	bodies   *web.Budget // bodies of users
	unproven *web.Budget // bodies of Pusher's webhooks: the signature covers the body, so it is read before it is verified
	answers  *web.Budget

	dear   *web.Turns                 // expensive reads, beside the coalescer's calls
	caller func(*http.Request) string // whose share a request takes: the user's, else the address's
}

// Memory for all bodies under way, in bytes. A form has at most 4 kB, a webhook 1 MB, a
// page of history about 1 MB. One caller may take a quarter of what the others leave, except
// Postgres, which sends up to 200 webhooks at once from one address.
const (
	hooksBudget    = 8 << 20
	bodiesBudget   = 8 << 20
	unprovenBudget = 2 << 20
	answersBudget  = 16 << 20

	quarter = 4
)

// How long a body may take to arrive.
const (
	bodyTime     = 10 * time.Second
	unprovenTime = 5 * time.Second
)

// burstSeconds is how many seconds' worth of CLIENT_RATE an address may use at once: an
// office is one address, and all its clients reconnect together.
const burstSeconds = 20

func newAdmission(c Config, lambda bool) admission {
	of := c.addresses(lambda)
	caller := func(r *http.Request) string {
		if user := authorize.UserOf(r); user != "" {
			return user
		}
		return of.Network(r)
	}
	return admission{
		limit:    web.NewLimiter(c.ClientRate, c.ClientRate*burstSeconds, of, time.Now),
		webhook:  web.NewSecrets(plainText(c.WebhookSecret), of, time.Now),
		operator: web.NewSecrets(plainText(c.ParitySecret), of, time.Now),
		hooks:    web.NewBudget(hooksBudget, 1, of.Network),
		bodies:   web.NewBudget(bodiesBudget, quarter, caller),
		unproven: web.NewBudget(unprovenBudget, quarter, of.Network),
		answers:  web.NewBudget(answersBudget, quarter, caller),
		dear:     web.NewTurns(dearConns),
		caller:   caller,
	}
}
