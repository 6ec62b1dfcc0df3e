package main

import (
	"context"
	"fmt"
	"time"
)

// webhookBody is what pg_net sends for a new message.
const webhookBody = `{"type":"INSERT","table":"messages","record":{"id":"5e599a19-1d26-476a-841a-1b2ed9586a78","content":"a message of usual length, more or less","room_id":"11111111-1111-4111-8111-111111111110","user_id":"22222222-2222-4222-8222-222222222220","created_at":"2026-11-22T21:58:39.714466+00:00"},"schema":"public","old_record":null}`

// forwardConns is how many webhooks are under way at once. pg_net sends up to 200.
const forwardConns = 32

// forward: one webhook in, one event out, without a database.
func forward(ctx context.Context, l *lab, _ *database) {
	path := l.binary(ctx, "infra/load/peers/hop")
	function := l.function(ctx)
	hop := l.serve(ctx, "least hop", append(l.sink.environment(), "WEBHOOK_SECRET="+webhookSecret), path)
	worker := l.express(ctx)
	ours, least, express := &server{program: function}, &server{program: hop}, &server{program: worker}
	request := post("/webhooks/supabase", "application/json", webhookSecret, webhookBody)
	c := comparison{
		rounds: l.pick(5, 1), conns: forwardConns, length: time.Duration(l.pick(1500, 500)) * time.Millisecond,
		request: func(int64) []byte { return request },
	}
	from := l.sink.events.Load()
	c.run(ctx, ours, least, express)
	if l.sink.events.Load() == from {
		check(fmt.Errorf("%w: webhooks answered, no events", errShort))
	}
	share := ours.times(least)
	l.found(result{
		what:    "forward-only webhook, against the least hop",
		reached: fmt.Sprintf("%s/s, %.2f of %s", count(ours.rate()), share, count(least.rate())),
		target:  "≥ 0.9 of the least program",
		met:     share >= 0.9,
		note:    fmt.Sprintf("%d connections; the least hop decodes, signs and posts, and checks nothing but the secret. Medians of %d rounds in turns.", forwardConns, c.rounds),
	})
	l.found(ours.againstExpress("forward-only webhook, against Express and the pusher library", express, 4)...)
	l.keepProfile(ctx, function, "forward")
}
