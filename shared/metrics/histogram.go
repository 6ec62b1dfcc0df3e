package metrics

import (
	"bufio"
	"slices"
	"sync"
	"time"
)

// Histogram sorts durations into buckets of seconds.
type Histogram struct {
	*vector[distribution]
	bounds []float64
}

// distribution is one series: buckets[i] counts what is at most bounds[i] and more
// than the bound before; the last one counts what is beyond.
type distribution struct {
	mu      sync.Mutex
	buckets []uint64
	sum     float64
}

// Histogram makes a histogram; by convention its name ends in _seconds. bounds are
// the upper ends of its buckets in seconds, rising.
func (r *Registry) Histogram(name, help string, bounds []float64, labels ...string) Histogram {
	h := Histogram{bounds: slices.Clone(bounds), vector: newVector(name, help, labels, func() *distribution {
		return &distribution{buckets: make([]uint64, len(bounds)+1)}
	})}
	r.add(name, h)
	return h
}

// Announce makes a series exist from now on, with nothing in it.
func (h Histogram) Announce(values ...string) { h.at(values) }

// Observe adds one duration.
func (h Histogram) Observe(took time.Duration, values ...string) {
	seconds := took.Seconds()
	i, _ := slices.BinarySearch(h.bounds, seconds) // the first bound not below it
	d := h.at(values)
	d.mu.Lock()
	d.buckets[i]++
	d.sum += seconds
	d.mu.Unlock()
}

func (h Histogram) write(w *bufio.Writer) {
	header(w, h.name, h.help, "histogram")
	h.each(func(labels string, d *distribution) {
		d.mu.Lock()
		buckets, sum := slices.Clone(d.buckets), d.sum
		d.mu.Unlock()
		comma := ""
		if labels != "" {
			comma = ","
		}
		count := uint64(0) // the format's buckets each include the ones before
		for i, n := range buckets {
			count += n
			le := "+Inf"
			if i < len(h.bounds) {
				le = number(h.bounds[i])
			}
			sample(w, h.name+"_bucket", labels+comma+`le="`+le+`"`, float64(count))
		}
		sample(w, h.name+"_sum", labels, sum)
		sample(w, h.name+"_count", labels, float64(count))
	})
}
