package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"roomcast/infra/child"
)

const (
	sizeLimit   = 13_000_000
	idleLimit   = 14_000_000
	eventWithin = 40 * time.Millisecond
)

// startUp: how soon a stopped function is there again, how large it is, what it
// holds while it sleeps.
func startUp(ctx context.Context, l *lab, db *database) {
	l.found(l.firstAnswer(ctx, db))
	l.found(l.firstEvent(ctx, db))
	size := must(os.Stat(l.binary(ctx, functionPackage))).Size()
	l.found(result{
		what:    "binary",
		reached: mb(size),
		target:  "< 13 MB",
		met:     size < sizeLimit,
	})
	l.found(l.idleMemory(ctx, db))
}

// firstAnswer: from exec to the first 200, against the least net/http server.
func (l *lab) firstAnswer(ctx context.Context, db *database) result {
	leastPath := l.binary(ctx, "infra/load/peers/serve")
	all := inTurns(l.pick(20, 3),
		func(int) time.Duration {
			return answerTime(func() *program { return l.function(ctx, "DATABASE_URL="+db.relay) })
		},
		func(int) time.Duration {
			return answerTime(func() *program { return l.serve(ctx, "least server", nil, leastPath) })
		})
	ours, least := all[0], all[1]
	share := float64(median(ours)) / float64(median(least))
	return result{
		what:    "exec to first 200",
		reached: fmt.Sprintf("%s, %.2f of the least server's %s", ms(median(ours)), share, ms(median(least))),
		target:  "≤ 1.7 of the least server",
		met:     share <= 1.7,
		note:    fmt.Sprintf("Medians of %d starts in turns, asked every 0.1 ms.", len(ours)),
	}
}

// answerTime is how long a program takes from exec to its first 200.
func answerTime(start func() *program) time.Duration {
	p := start()
	took := time.Since(p.began)
	check(p.stop())
	return took
}

// firstEvent: from exec to the first event accepted, a row waiting.
func (l *lab) firstEvent(ctx context.Context, db *database) result {
	times := inTurns(l.pick(15, 3), func(int) time.Duration { return l.eventTime(ctx, db) })
	middle := median(times[0])
	return result{
		what:    "exec to first event accepted",
		reached: fmt.Sprintf("%s (slowest %s)", ms(middle), ms(quantile(times[0], 1))),
		target:  "≤ 40 ms",
		met:     middle <= eventWithin,
	}
}

func (l *lab) eventTime(ctx context.Context, db *database) time.Duration {
	check(db.insertOne(ctx, 1, "waiting"))
	first := l.sink.expect(1)
	p := l.startFunction(ctx, "DATABASE_URL="+db.relay)
	at, err := first(ctx)
	p.check(err)
	check(p.stop()) // finishes: the row is acked
	return at.Sub(p.began)
}

// idleMemory: what a function that has worked and polls no more holds.
func (l *lab) idleMemory(ctx context.Context, db *database) result {
	p := l.function(ctx, "DATABASE_URL="+db.relay, "LINGER=100ms")
	const messages = 100
	all := l.sink.expect(messages)
	for n := range messages {
		check(db.insertOne(ctx, n%20, "work"))
	}
	wake(ctx, p)
	must(all(ctx))
	check(pause(ctx, time.Duration(l.pick(8, 1))*time.Second)) // the awake lease lapses, it sleeps
	held := must(child.Memory(p.Cmd.Process.Pid))
	return result{
		what:    "idle memory",
		reached: mb(held),
		target:  "< 14 MB",
		met:     held > 0 && held < idleLimit,
		note:    fmt.Sprintf("Resident set, the program's own pages included, asleep after %d messages.", messages),
	}
}
