package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"roomcast/shared/token/tokentest"
)

const (
	authConns    = 64
	roomsOfUser  = 5 // that a client asks for, one after another, when it connects
	authUsers    = 20_000
	authUsersFew = 2_000
)

// questions are authorization requests as pusher-js makes them: every user asks for
// each of their rooms, with one token.
type questions [][]byte

// makeQuestions signs a token for each user and notes the memberships.
func (db *database) makeQuestions(ctx context.Context, signer tokentest.Signer, supabaseURL string, users int) (questions, error) {
	_, err := db.pool.Exec(ctx, `
		with uncaptured as materialized (select set_config('roomcast.capture', 'off', true))
		insert into public.room_participants (room_id, user_id)
		select public.room((u * 7 + r) % 4000), public.room(1000000 + u)
		  from uncaptured, generate_series(0, $1::int - 1) u, generate_series(0, $2::int - 1) r`, users, roomsOfUser)
	if err != nil {
		return nil, fmt.Errorf("memberships: %w", err)
	}
	out := make(questions, 0, users*roomsOfUser)
	for u := range users {
		jwt, err := signer.Sign(tokentest.Claims(supabaseURL, roomID(1_000_000+u), time.Now()))
		if err != nil {
			return nil, err
		}
		for r := range roomsOfUser {
			form := url.Values{"socket_id": {fmt.Sprintf("%d.%d", u+1, r+1)}, "channel_name": {"private-room-" + roomID((u*7+r)%4000)}}
			out = append(out, post("/pusher/auth", "application/x-www-form-urlencoded", jwt, form.Encode(),
				fmt.Sprintf("Fly-Client-IP: 10.%d.%d.%d", u>>16&255, u>>8&255, u&255)))
		}
	}
	return out, db.settle(ctx)
}

// roomID is what public.room(n) gives.
func roomID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// authorization: ES256 tokens, membership in Postgres. Nobody asks the same twice, as
// when a chat's clients come for the first time: a cache of answers cannot help, one of
// verified tokens can.
func authorization(ctx context.Context, l *lab, db *database) ([]result, error) {
	signer, err := tokentest.ES256("load")
	if err != nil {
		return nil, err
	}
	keys, err := tokentest.Serve(signer)
	if err != nil {
		return nil, err
	}
	defer keys.Close()
	asks, err := db.makeQuestions(ctx, signer, keys.URL, l.pick(authUsers, authUsersFew))
	if err != nil {
		return nil, err
	}
	function, err := l.function(ctx, "DATABASE_URL="+db.relay, "SUPABASE_URL="+keys.URL, "FLY_APP_NAME=load", "FLY_MACHINE_ID=load")
	if err != nil {
		return nil, err
	}
	worker, err := l.express(ctx, "DATABASE_URL="+db.owner, "SUPABASE_URL="+keys.URL)
	if err != nil {
		return nil, err
	}
	ours, express := &server{program: function}, &server{program: worker}
	c := comparison{
		rounds: l.pick(4, 1), conns: authConns, length: time.Duration(l.pick(1500, 500)) * time.Millisecond,
		request: func(i int64) []byte { return asks[i%int64(len(asks))] },
	}
	if err := c.run(ctx, ours, express); err != nil {
		return nil, err
	}
	if asked := ours.asked.Load(); asked > int64(len(asks)) {
		l.say("  the function was asked %d of %d questions: some came again", asked, len(asks))
	}
	rate, p99 := ours.rate(), quantile(ours.latencies, 0.99)
	results := []result{{
		what:    "authorization, ES256, membership in Postgres",
		reached: fmt.Sprintf("%s/s, p50 %s, p99 %s", count(rate), ms(median(ours.latencies)), ms(p99)),
		target:  "≥ 10,000/s, p99 < 20 ms at 64 connections",
		met:     rate >= 10_000 && p99 < 20*time.Millisecond,
		note: fmt.Sprintf("%d connections; every user asks for %d rooms with one token, from an address of their own, and nobody asks twice; the client, the function and Postgres share the cores.",
			authConns, roomsOfUser),
	}}
	results = append(results, ours.againstExpress("authorization, against Express with jsonwebtoken and pg", express, 5)...)
	return results, l.keepProfile(ctx, function, "authorize")
}
