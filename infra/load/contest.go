package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// contender is one server in a comparison.
type contender struct {
	*program
	name      string
	asked     atomic.Int64 // requests so far
	rates     []float64
	latencies []time.Duration
}

// contest drives servers in turns, each for the same time, several rounds: what the
// machine does meanwhile then meets all of them alike.
type contest struct {
	rounds, conns int
	length        time.Duration        // of one turn
	request       func(i int64) []byte // the i-th that a contender gets
}

// warmUp goes before each turn, unmeasured: connections, caches, and in Node's
// case the compiler.
const warmUp = 300 * time.Millisecond

func (c *contest) run(ctx context.Context, contenders ...*contender) error {
	for range c.rounds {
		for _, s := range contenders {
			next := func() []byte { return c.request(s.asked.Add(1) - 1) }
			if _, err := drive(ctx, s.addr(), c.conns, warmUp, next); err != nil {
				return errors.Join(fmt.Errorf("%s: %w", s.name, err), s.fault("says"))
			}
			d, err := drive(ctx, s.addr(), c.conns, c.length, next)
			if err != nil {
				return errors.Join(fmt.Errorf("%s: %w", s.name, err), s.fault("says"))
			}
			s.rates = append(s.rates, d.rate())
			s.latencies = append(s.latencies, d.latencies...)
		}
	}
	return nil
}

// against compares two contenders, round by round.
func (c *contender) against(other *contender) float64 { return medianRatio(c.rates, other.rates) }

// rate is the contender's median.
func (c *contender) rate() float64 { return median(c.rates) }
