package main

import (
	"context"
	"fmt"
	"time"

	"roomcast/shared/event"
)

// livePace is what a hot room writes per second while people talk: less than it can
// send with 20 ms per call and no packing, so that both are measured keeping up.
const livePace = 300

// hot is one measurement of one room that is heard by one kind of channel.
type hot struct {
	rate     float64         // rows per second of a backlog
	messages float64         // Pusher's, for a thousand rows
	times    []time.Duration // from each commit to its acceptance, live
}

// packed: the hot room again, without packing and with it, in turns: how fast a
// backlog leaves, and what a steady conversation costs.
func packed(ctx context.Context, l *lab) ([]result, error) {
	l.sink.delay.Store(int64(callTime))
	kinds := []event.ChannelKind{event.Private, event.Packed}
	waiting := []int{l.pick(2000, 400), l.pick(20_000, 2000)}
	var backlogs, lives [2][]hot
	for range l.pick(3, 1) {
		for i, kind := range kinds {
			backlog, err := l.hotBacklog(ctx, kind, waiting[i])
			if err != nil {
				return nil, err
			}
			live, err := l.hotTalk(ctx, kind, livePace*l.pick(5, 1))
			if err != nil {
				return nil, err
			}
			l.say("  %s: backlog %s rows/s, %.0f messages for 1,000; live p50 %s, %.0f messages",
				kind, count(backlog.rate), backlog.messages, ms(median(live.times)), live.messages)
			backlogs[i], lives[i] = append(backlogs[i], backlog), append(lives[i], live)
		}
	}
	return []result{packedBacklog(backlogs[0], backlogs[1]), packedTalk(lives[0], lives[1])}, nil
}

// hotBacklog lets rows of one room pile up before a sleeping function, rings, and
// waits until nothing waits.
func (l *lab) hotBacklog(ctx context.Context, kind event.ChannelKind, rows int) (h hot, err error) {
	roll := newRoll(rows)
	return h, l.heard(ctx, kind, roll.hear, func(db *database, p *program) error {
		if err := db.untilQuiet(ctx); err != nil {
			return err
		}
		if err := db.fill(ctx, rows, 1); err != nil {
			return err
		}
		start := time.Now()
		if err := ring(ctx, p); err != nil {
			return err
		}
		if err := roll.all(ctx); err != nil {
			return err
		}
		if err := db.untilEmpty(ctx); err != nil {
			return err
		}
		h = hot{rate: perSecond(rows, time.Since(start)), messages: roll.perThousand()}
		return nil
	})
}

// hotTalk writes to one room at livePace, and waits for the last message.
func (l *lab) hotTalk(ctx context.Context, kind event.ChannelKind, rows int) (h hot, err error) {
	roll, watch := newRoll(rows), newStopwatch(rows)
	hear := func(body []byte, at time.Time) {
		watch.hear(body, at)
		roll.hear(body, at)
	}
	return h, l.heard(ctx, kind, hear, func(db *database, p *program) error {
		if err := ring(ctx, p); err != nil {
			return err
		}
		if err := db.writeAfter(ctx, poisson(rows, livePace, 7), watch, 1); err != nil {
			return err
		}
		if err := roll.all(ctx); err != nil {
			return err
		}
		h = hot{messages: roll.perThousand(), times: watch.times()}
		return nil
	})
}

// heard runs do with a function on a chat of its own, whose calls to Pusher hear hears.
func (l *lab) heard(ctx context.Context, kind event.ChannelKind, hear func([]byte, time.Time), do func(*database, *program) error) error {
	return l.with(ctx, func(db *database) error {
		p, err := l.function(ctx, "DATABASE_URL="+db.relay, "ROOM_CHANNELS="+string(kind))
		if err != nil {
			return err
		}
		l.sink.hear.Store(&hear)
		defer l.sink.hear.Store(nil)
		if err := do(db, p); err != nil {
			return fmt.Errorf("%s: %w: %s", kind, err, p.log.String())
		}
		return p.stop()
	})
}

func packedBacklog(plain, packs []hot) result {
	rate := func(all []hot) float64 { return median(column(all, func(h hot) float64 { return h.rate })) }
	return result{
		what: "the same room packed: a backlog, 20 ms per call",
		reached: fmt.Sprintf("%s events/s, %.1f times the %s without; %s Pusher messages for 1,000 events, not %s",
			count(rate(packs)), rate(packs)/rate(plain), count(rate(plain)), count(cost(packs)), count(cost(plain))),
		note: fmt.Sprintf("Medians of %d rounds in turns, ROOM_CHANNELS=packed against private, a database and a function for each; until nothing waits. The sink unpacks, and every row was there once and in order. Events are chat messages of usual length. Pusher counts each of its messages once more for every listener.", len(packs)),
	}
}

func packedTalk(plain, packs []hot) result {
	at := func(all []hot, q float64) time.Duration {
		return median(column(all, func(h hot) time.Duration { return quantile(h.times, q) }))
	}
	return result{
		what: fmt.Sprintf("the same room packed: %d/s Poisson, 20 ms per call", livePace),
		reached: fmt.Sprintf("%s Pusher messages for 1,000 events, not %s; p50 %s, p99 %s, without: %s, %s",
			count(cost(packs)), count(cost(plain)), ms(at(packs, 0.5)), ms(at(packs, 0.99)), ms(at(plain, 0.5)), ms(at(plain, 0.99))),
		note: fmt.Sprintf("Commit acknowledged to accepted, %d messages a round. What shares a pack is what came while the call before was under way.", len(packs[0].times)),
	}
}

// cost is Pusher's messages for a thousand events.
func cost(all []hot) float64 { return median(column(all, func(h hot) float64 { return h.messages })) }

// column is one figure of each measurement.
func column[T any](all []hot, figure func(hot) T) []T {
	out := make([]T, len(all))
	for i, h := range all {
		out[i] = figure(h)
	}
	return out
}
