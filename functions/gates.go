package main

import (
	"cmp"
	"net/http"
	"time"

	"roomcast/functions/authorize"
	"roomcast/shared/web"
)

// gates are what stands between the outside and the handlers.
type gates struct {
	limit    *web.Limiter // of each address's requests, whatever they are
	webhook  *web.Secrets // WEBHOOK_SECRET
	operator *web.Secrets // PARITY_SECRET

	hooks    *web.Budget // of Postgres' webhooks
	bodies   *web.Budget // of users
	unproven *web.Budget // of webhooks whose signature is over the body: nothing is proven before it is read
	answers  *web.Budget
	dear     *web.Turns // at the database, beside the coalescer's calls
	caller   func(*http.Request) string
}

// Memory of all bodies under way together, in bytes. A form has at most 4 kB, a webhook
// 1 MB, a page of history some 1 MB. One user, or who is none, one address may have a
// quarter; Postgres, which sends 200 webhooks at once, all.
const (
	hooksBudget    = 8 << 20
	bodiesBudget   = 8 << 20
	unprovenBudget = 2 << 20
	answersBudget  = 16 << 20
)

// manyBody bounds the body of POST /events, in bytes.
const manyBody = 64 << 10

// bodyTime is how long a body may take to arrive. What is unproven gets less.
const (
	bodyTime     = 10 * time.Second
	unprovenTime = 5 * time.Second
)

// burstSeconds is how many seconds' share of CLIENT_RATE an address may take at once:
// an office is one address, and all of it comes back together.
const burstSeconds = 20

func newGates(c Config, lambda bool) gates {
	of := c.addresses(lambda)
	caller := func(r *http.Request) string { return cmp.Or(authorize.UserOf(r), of.Network(r)) }
	return gates{
		limit:    web.NewLimiter(c.ClientRate, c.ClientRate*burstSeconds, of, time.Now),
		webhook:  web.NewSecrets(plainText(c.WebhookSecret), of, time.Now),
		operator: web.NewSecrets(plainText(c.ParitySecret), of, time.Now),
		hooks:    web.NewBudget(hooksBudget, hooksBudget, of.Network),
		bodies:   web.NewBudget(bodiesBudget, bodiesBudget/4, caller),
		unproven: web.NewBudget(unprovenBudget, unprovenBudget/4, of.Network),
		answers:  web.NewBudget(answersBudget, answersBudget/4, caller),
		dear:     web.NewTurns(dearConns),
		caller:   caller,
	}
}
