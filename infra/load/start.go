package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	sizeLimit   = 13_000_000
	idleLimit   = 14_000_000
	eventWithin = 40 * time.Millisecond
)

// startUp: how soon a stopped function is there again, how large it is, what it
// holds while it sleeps.
func startUp(ctx context.Context, l *lab, db *database) ([]result, error) {
	path, err := l.binary(ctx, functionPackage)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	answered, err := l.firstAnswer(ctx, db)
	if err != nil {
		return nil, err
	}
	accepted, err := l.firstEvent(ctx, db)
	if err != nil {
		return nil, err
	}
	idle, err := l.idleMemory(ctx, db)
	return []result{answered, accepted, {
		what:    "binary",
		reached: mb(info.Size()),
		target:  "< 13 MB",
		met:     info.Size() < sizeLimit,
	}, idle}, err
}

// firstAnswer: from exec to the first 200, against the least net/http server.
func (l *lab) firstAnswer(ctx context.Context, db *database) (result, error) {
	leastPath, err := l.binary(ctx, "infra/load/peers/serve")
	if err != nil {
		return result{}, err
	}
	all, err := inTurns(l.pick(20, 3),
		func(int) (time.Duration, error) {
			return answerTime(func() (*program, error) { return l.function(ctx, "DATABASE_URL="+db.relay) })
		},
		func(int) (time.Duration, error) {
			return answerTime(func() (*program, error) { return l.serve(ctx, "least server", nil, leastPath) })
		})
	if err != nil {
		return result{}, err
	}
	ours, least := all[0], all[1]
	share := float64(median(ours)) / float64(median(least))
	return result{
		what:    "exec to first 200",
		reached: fmt.Sprintf("%s, %.2f of the least server's %s", ms(median(ours)), share, ms(median(least))),
		target:  "≤ 1.7 of the least server",
		met:     share <= 1.7,
		note:    fmt.Sprintf("Medians of %d starts in turns, asked every 0.1 ms.", len(ours)),
	}, nil
}

// answerTime is how long a program takes from exec to its first 200.
func answerTime(start func() (*program, error)) (time.Duration, error) {
	p, err := start()
	if err != nil {
		return 0, err
	}
	took := time.Since(p.began)
	return took, p.stop()
}

// firstEvent: from exec to the first event accepted, a row waiting.
func (l *lab) firstEvent(ctx context.Context, db *database) (result, error) {
	times, err := inTurns(l.pick(15, 3), func(int) (time.Duration, error) { return l.eventTime(ctx, db) })
	if err != nil {
		return result{}, err
	}
	middle := median(times[0])
	return result{
		what:    "exec to first event accepted",
		reached: fmt.Sprintf("%s (slowest %s)", ms(middle), ms(quantile(times[0], 1))),
		target:  "≤ 40 ms",
		met:     middle <= eventWithin,
	}, nil
}

func (l *lab) eventTime(ctx context.Context, db *database) (time.Duration, error) {
	if err := db.insertOne(ctx, 1, "waiting"); err != nil {
		return 0, err
	}
	first := l.sink.expect(1)
	p, err := l.startFunction(ctx, "DATABASE_URL="+db.relay)
	if err != nil {
		return 0, err
	}
	at, err := first(ctx)
	if err != nil {
		return 0, errors.Join(err, p.fault("says"))
	}
	return at.Sub(p.began), p.stop() // finishes: the row is acked
}

// idleMemory: what a function that has worked and polls no more holds.
func (l *lab) idleMemory(ctx context.Context, db *database) (result, error) {
	p, err := l.function(ctx, "DATABASE_URL="+db.relay, "LINGER=100ms")
	if err != nil {
		return result{}, err
	}
	const messages = 100
	all := l.sink.expect(messages)
	for n := range messages {
		if err := db.insertOne(ctx, n%20, "work"); err != nil {
			return result{}, err
		}
	}
	if err := wake(ctx, p); err != nil {
		return result{}, err
	}
	if _, err := all(ctx); err != nil {
		return result{}, err
	}
	if err := pause(ctx, time.Duration(l.pick(8, 1))*time.Second); err != nil { // the awake lease lapses, it sleeps
		return result{}, err
	}
	held, err := memoryNow(p.Cmd.Process.Pid)
	return result{
		what:    "idle memory",
		reached: mb(held),
		target:  "< 14 MB",
		met:     held > 0 && held < idleLimit,
		note:    fmt.Sprintf("Resident set, the program's own pages included, asleep after %d messages.", messages),
	}, err
}
