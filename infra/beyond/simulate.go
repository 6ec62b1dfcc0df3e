package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// simulated is the time for which the chat writes; rows that then wait have half as long
// again to be sent.
const simulated = 2 * time.Minute

// result is the outcome of a simulation.
type result struct {
	delays []time.Duration // commit to accept, sorted
	most   int             // waiting at once
	empty  bool            // all was sent
	left   int             // still waiting at the end
	after  time.Duration   // from the outage's end until nothing had waited longer than the calm
}

// at is a quantile of the delays.
func (r result) at(q float64) time.Duration {
	if len(r.delays) == 0 {
		return 0
	}
	return r.delays[int(q*float64(len(r.delays)-1))].Round(time.Millisecond)
}

// waiting is a room's messages by the tick in which they were committed.
type waiting []int

// simulate plays the relay's rules, a tick being one round trip to Pusher: each
// machine has so many workers, each worker one batch under way, a batch holds messages
// of several rooms, and of one room no more than a batch at a time. Rooms take
// turns. The database hands out no more than Drain. The same chat always gives the
// same result.
func simulate(c chat, s speeds, outage time.Duration) result {
	random := rand.New(rand.NewPCG(1, 2))
	ticks := int(simulated / s.RoundTrip)
	from, to := ticks/2, ticks/2+int(outage/s.RoundTrip)
	means := meansOf(c, s)
	rooms, turn := make([]waiting, c.Rooms), 0
	var res result
	total := 0
	for tick := 0; tick < ticks*3/2; tick++ {
		if tick < ticks {
			for i, mean := range means {
				for range poisson(random, mean) {
					rooms[i] = append(rooms[i], tick)
					total++
				}
			}
		}
		res.most = max(res.most, total)
		if tick >= from && tick < to {
			continue
		}
		sent := send(rooms, turn, c, s, func(committed int) {
			res.delays = append(res.delays, time.Duration(tick-committed)*s.RoundTrip+s.Accept+s.RoundTrip)
		})
		turn = (turn + 1) % c.Rooms
		total -= sent
		if oldest := oldestOf(rooms, tick); res.after == 0 && tick >= to && tick-oldest <= 1 {
			res.after = time.Duration(tick-to+1) * s.RoundTrip
		}
	}
	res.left, res.empty = total, total == 0
	slices.Sort(res.delays)
	return res
}

// send takes one tick's worth out of the rooms, beginning with a room that changes.
func send(rooms []waiting, turn int, c chat, s speeds, accepted func(committed int)) (sent int) {
	perRoom := batch / c.Kinds
	most := min(float64(c.Machines*workers*perRoom), s.Drain*s.RoundTrip.Seconds())
	for i := range rooms {
		room := &rooms[(turn+i)%len(rooms)]
		n := min(len(*room), perRoom, int(most)-sent)
		for _, committed := range (*room)[:n] {
			accepted(committed)
		}
		*room = (*room)[n:]
		sent += n
	}
	return sent
}

// oldestOf returns the tick of the oldest message that waits, or now.
func oldestOf(rooms []waiting, now int) int {
	for _, room := range rooms {
		if len(room) > 0 {
			now = min(now, room[0])
		}
	}
	return now
}

// meansOf is how many messages each room gets in a tick.
func meansOf(c chat, s speeds) []float64 {
	first := c.busiest() * c.Rate * s.RoundTrip.Seconds()
	means := make([]float64, c.Rooms)
	for i := range means {
		means[i] = first * math.Pow(float64(i+1), -c.Skew)
	}
	return means
}

// poisson draws a number of arrivals (Knuth's method, exact for small means; a large
// one is drawn in parts).
func poisson(random *rand.Rand, mean float64) (n int) {
	for mean > 30 {
		n += poisson(random, 30)
		mean -= 30
	}
	for p, end := random.Float64(), math.Exp(-mean); p > end; p *= random.Float64() {
		n++
	}
	return n
}
