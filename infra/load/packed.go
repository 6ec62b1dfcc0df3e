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

// hot is one measurement of one room in one kind of channel.
type hot struct {
	rate     float64         // rows per second of a backlog
	messages float64         // Pusher's, for a thousand rows
	times    []time.Duration // from each commit to its acceptance, live
}

// packed: the hot room again, without packing and with it, in turns: how fast a
// backlog leaves, and what a steady conversation costs.
func packed(ctx context.Context, l *lab, _ *database) {
	l.sink.delay.Store(int64(callTime))
	kinds := []event.ChannelKind{event.Private, event.Packed}
	waiting := []int{l.pick(2000, 400), l.pick(20_000, 2000)}
	var backlogs, lives [2][]hot
	for range l.pick(3, 1) {
		for i, kind := range kinds {
			backlog := l.hotBacklog(ctx, kind, waiting[i])
			live := l.hotTalk(ctx, kind, livePace*l.pick(5, 1))
			l.say("  %s: backlog %s rows/s, %.0f messages for 1,000; live p50 %s, %.0f messages",
				kind, count(backlog.rate), backlog.messages, ms(median(live.times)), live.messages)
			backlogs[i], lives[i] = append(backlogs[i], backlog), append(lives[i], live)
		}
	}
	l.found(packedBacklog(backlogs[0], backlogs[1]), packedTalk(lives[0], lives[1]))
}

// hotBacklog lets rows of one room pile up before a sleeping function, wakes it, and
// waits until nothing waits.
func (l *lab) hotBacklog(ctx context.Context, kind event.ChannelKind, rows int) hot {
	seen := newRecorder(rows)
	defer l.sink.listen(seen.note)()
	var d drained
	l.with(ctx, func(db *database) {
		d = l.drainRelay(ctx, db, work{rows: rows, rooms: 1, env: []string{"ROOM_CHANNELS=" + string(kind)}, came: seen.all})
	})
	return hot{rate: d.rate, messages: seen.perThousand()}
}

// hotTalk writes to one room at livePace, and waits for the last message.
func (l *lab) hotTalk(ctx context.Context, kind event.ChannelKind, rows int) hot {
	seen, watch := newRecorder(rows), newStopwatch(rows)
	defer l.sink.listen(func(body []byte, at time.Time) {
		watch.note(body, at)
		seen.note(body, at)
	})()
	l.with(ctx, func(db *database) {
		p := l.function(ctx, "DATABASE_URL="+db.relay, "ROOM_CHANNELS="+string(kind))
		wake(ctx, p)
		db.writeAfter(ctx, poisson(rows, livePace, 7), watch, 1)
		p.check(seen.all(ctx))
	})
	return hot{messages: seen.perThousand(), times: watch.times()}
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
