package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"time"

	"roomcast/shared/token/tokentest"
)

const (
	authConns    = 64
	roomsOfUser  = 5 // that a client asks for when it connects
	authUsers    = 20_000
	authUsersFew = 2_000
	authRooms    = 4_000
)

// crowd are users with tokens and memberships, and what they ask when they connect.
type crowd struct {
	keys    *tokentest.Server
	tokens  []string
	each    [][]byte // requests as pusher-js makes them: one for each room
	batched [][]byte // as our client makes them: one for each user
}

// gather signs a token for each user and notes the memberships.
func (db *database) gather(ctx context.Context, users, rooms int) *crowd {
	signer := must(tokentest.ES256("load"))
	c := &crowd{keys: must(tokentest.Serve(signer))}
	must(db.pool.Exec(ctx, `
		with uncaptured as materialized (select set_config('roomcast.capture', 'off', true))
		insert into public.room_participants (room_id, user_id)
		select public.room((u * 7 + r) % $3::int), public.room(1000000 + u)
		  from uncaptured, generate_series(0, $1::int - 1) u, generate_series(0, $2::int - 1) r
		on conflict do nothing`, users, roomsOfUser, rooms))
	for u := range users {
		jwt := must(signer.Sign(tokentest.Claims(c.keys.URL, roomID(1_000_000+u), time.Now())))
		c.tokens = append(c.tokens, jwt)
		ask := func(path string, theirs ...int) []byte {
			form := url.Values{"socket_id": {fmt.Sprintf("%d.1", u+1)}}
			for _, r := range theirs {
				form.Add("channel_name", "private-room-"+roomID((u*7+r)%rooms))
			}
			return post(path, "application/x-www-form-urlencoded", jwt, form.Encode(),
				fmt.Sprintf("Fly-Client-IP: 10.%d.%d.%d", u>>16&255, u>>8&255, u&255))
		}
		for r := range roomsOfUser {
			c.each = append(c.each, ask("/pusher/auth", r))
		}
		c.batched = append(c.batched, ask("/pusher/auth/batch", 0, 1, 2, 3, 4))
	}
	db.quiesce(ctx)
	return c
}

// environment has a function believe the crowd's tokens, and that each user has an
// address of their own.
func (c *crowd) environment() []string {
	return []string{"SUPABASE_URL=" + c.keys.URL, "FLY_APP_NAME=load", "FLY_MACHINE_ID=load"}
}

// roomID is what public.room(n) gives.
func roomID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// authorization: ES256 tokens, membership in Postgres. Nobody asks the same twice, as
// when a chat's clients come for the first time: a cache of answers cannot help, one of
// verified tokens can.
func authorization(ctx context.Context, l *lab, db *database) {
	users := db.gather(ctx, l.pick(authUsers, authUsersFew), authRooms)
	defer users.keys.Close()
	function := l.function(ctx, append(users.environment(), "DATABASE_URL="+db.relay)...)
	worker := l.express(ctx, "DATABASE_URL="+db.owner, "SUPABASE_URL="+users.keys.URL)
	ours, express := &server{program: function}, &server{program: worker}
	c := comparison{
		rounds: l.pick(4, 1), conns: authConns, length: time.Duration(l.pick(1500, 500)) * time.Millisecond,
		request: func(i int64) []byte { return users.each[i%int64(len(users.each))] },
	}
	c.run(ctx, ours, express)
	if asked := ours.asked.Load(); asked > int64(len(users.each)) {
		l.say("  the function was asked %d of %d questions: some came again", asked, len(users.each))
	}
	rate, p99 := ours.rate(), quantile(ours.latencies, 0.99)
	l.found(result{
		what:    "authorization, ES256, membership in Postgres",
		reached: fmt.Sprintf("%s/s, p50 %s, p99 %s", count(rate), ms(median(ours.latencies)), ms(p99)),
		target:  "≥ 10,000/s, p99 < 20 ms at 64 connections",
		met:     rate >= 10_000 && p99 < 20*time.Millisecond,
		note: fmt.Sprintf("%d connections; every user asks for %d rooms with one token, from an address of their own, and nobody asks twice; the client, the function and Postgres share the cores.",
			authConns, roomsOfUser),
	})
	l.found(ours.againstExpress("authorization, against Express with jsonwebtoken and pg", express, 5)...)
	l.keepProfile(ctx, function, "authorize")
}

const (
	stormClients = 10_000
	stormConns   = 500 // what a proxy keeps open to one machine
)

// storm: every client of a chat is back after an outage and asks for all its rooms, at
// the same moment.
func storm(ctx context.Context, l *lab, db *database) {
	clients := l.pick(stormClients, stormClients/10)
	var rates, p99s []float64
	for range l.pick(3, 1) {
		took, answers := l.oneStorm(ctx, db, clients)
		rates = append(rates, perSecond(answers, quantile(took, 1)))
		p99s = append(p99s, quantile(took, 0.99).Seconds())
	}
	rate, p99 := median(rates), median(p99s)
	l.found(result{
		what:    fmt.Sprintf("storm: %s clients of %d rooms each, all at once, one request for all rooms", count(clients), roomsOfUser),
		reached: fmt.Sprintf("%s answers/s, p99 %.1f s", count(rate), p99),
		target:  "≥ 40,000 answers/s, p99 ≤ 1.5 s",
		met:     rate >= 40_000 && p99 <= 1.5,
		note:    fmt.Sprintf("Median of %d storms, each on a function just started; over %d connections, as many as a proxy keeps; times since the storm's beginning. Each token is new to the function.", len(rates), stormConns),
	})
}

// oneStorm returns how long after its beginning each client was answered, and how many
// rooms that were.
func (l *lab) oneStorm(ctx context.Context, db *database, clients int) (took []time.Duration, answers int) {
	users := db.gather(ctx, clients, authRooms)
	defer users.keys.Close()
	p := l.function(ctx, append(users.environment(), "DATABASE_URL="+db.relay)...)
	took, answers, err := driveAll(ctx, p.addr(), stormConns, users.batched, granted)
	p.check(err)
	if answers != clients*roomsOfUser {
		check(fmt.Errorf("%w: %d of %d rooms granted", errShort, answers, clients*roomsOfUser))
	}
	check(p.stop())
	return took, answers
}

// granted is how many rooms an answer to a batch grants.
func granted(body []byte) int { return bytes.Count(body, []byte(`"status":200`)) }
