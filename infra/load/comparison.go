package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// server is one of those compared.
type server struct {
	*program
	asked     atomic.Int64 // requests so far
	rates     []float64
	latencies []time.Duration
}

// comparison drives servers in turns, each for the same time, several rounds: what the
// machine does meanwhile then meets all of them alike.
type comparison struct {
	rounds, conns int
	length        time.Duration        // of one turn
	request       func(i int64) []byte // the i-th that a server gets
}

// warmUp goes before each turn, unmeasured: connections, caches, and in Node's
// case the compiler.
const warmUp = 300 * time.Millisecond

// run drives those that are there.
func (c *comparison) run(ctx context.Context, servers ...*server) {
	for range c.rounds {
		for _, s := range servers {
			if s.program == nil {
				continue
			}
			next := func() []byte { return c.request(s.asked.Add(1) - 1) }
			_, err := drive(ctx, s.addr(), c.conns, warmUp, next)
			s.check(err)
			d, err := drive(ctx, s.addr(), c.conns, c.length, next)
			s.check(err)
			s.rates = append(s.rates, d.rate())
			s.latencies = append(s.latencies, d.latencies...)
		}
	}
}

// times is how many times the other's requests a server answers, round by round.
func (s *server) times(other *server) float64 { return medianRatio(s.rates, other.rates) }

// rate is the server's median.
func (s *server) rate() float64 { return median(s.rates) }

// againstExpress is the line that says so, none where Node is missing.
func (s *server) againstExpress(what string, express *server, least float64) []result {
	if express.program == nil {
		return nil
	}
	times := s.times(express)
	return []result{{
		what:    what,
		reached: fmt.Sprintf("%.1f times its %s/s", times, count(express.rate())),
		target:  fmt.Sprintf("≥ %.0f times the Express worker", least),
		met:     times >= least,
	}}
}
