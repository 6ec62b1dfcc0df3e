package parity

import (
	"math"
	"time"
)

// Buckets is how many a histogram has.
const Buckets = 32

// Edge is the upper edge of a histogram's bucket, two buckets to an octave: bucket i
// counts delays above Edge(i-1) and up to Edge(i); bucket 0 all up to a millisecond,
// the last one all above 33 seconds. In a page:
//
//	Math.min(31, Math.ceil(2 * Math.log2(Math.max(1, ms))))
func Edge(bucket int) time.Duration {
	return time.Duration(math.Exp2(float64(bucket)/2) * float64(time.Millisecond))
}

// Delays is one side's delays, commit to page.
type Delays struct {
	Count     int64   `json:"count"` // messages that were timed
	P50       float64 `json:"p50_ms"`
	P95       float64 `json:"p95_ms"`
	P99       float64 `json:"p99_ms"`
	Histogram []int64 `json:"histogram"` // Buckets of them; for their edges see Edge
}

func newDelays(counts []int64) Delays {
	d := Delays{Histogram: make([]int64, Buckets)}
	copy(d.Histogram, counts)
	for _, n := range d.Histogram {
		d.Count += n
	}
	d.P50, d.P95, d.P99 = d.quantile(0.50), d.quantile(0.95), d.quantile(0.99)
	return d
}

// quantile estimates, in milliseconds, the delay that a share q of the messages stays
// under; 0 without any. Within a bucket it goes by the logarithm, as the buckets do, so
// it is off by a fifth at the most. In the last, open one it is that one's lower edge.
func (d Delays) quantile(q float64) float64 {
	want := q * float64(d.Count)
	var below float64
	for i, n := range d.Histogram {
		here := float64(n)
		if n == 0 || below+here < want {
			below += here
			continue
		}
		part := (want - below) / here
		if i == Buckets-1 {
			part = 0
		}
		return ms(Edge(i)) * math.Exp2((part-1)/2)
	}
	return 0
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// addCounts adds histogram b to a.
func addCounts(a, b []int64) []int64 {
	for len(a) < len(b) {
		a = append(a, 0)
	}
	for i, n := range b {
		a[i] += n
	}
	return a
}
