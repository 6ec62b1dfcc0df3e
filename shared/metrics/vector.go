package metrics

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxLabels is as many labels as a family may have: an array of them is a key
// that a look-up need not allocate.
const maxLabels = 2

type key [maxLabels]string

// vector is a family's series by the values of its labels.
type vector[T any] struct {
	name, help string
	labels     []string
	make       func() *T

	mu     sync.RWMutex
	series map[key]*T
}

func newVector[T any](name, help string, labels []string, create func() *T) *vector[T] {
	if len(labels) > maxLabels {
		panic("metrics: " + name + " has too many labels")
	}
	v := &vector[T]{name: name, help: help, labels: labels, make: create, series: map[key]*T{}}
	if len(labels) == 0 {
		v.at(nil) // it exists from the start, at zero
	}
	return v
}

// at returns the series with these label values, made when first asked for.
func (v *vector[T]) at(values []string) *T {
	if len(values) != len(v.labels) {
		panic(fmt.Sprintf("metrics: %s has %d labels, not %d", v.name, len(v.labels), len(values)))
	}
	var k key
	copy(k[:], values)
	v.mu.RLock()
	s := v.series[k]
	v.mu.RUnlock()
	if s != nil {
		return s
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if s = v.series[k]; s == nil {
		s = v.make()
		v.series[k] = s
	}
	return s
}

// each calls fn with every series, in the order of their labels.
func (v *vector[T]) each(fn func(labels string, s *T)) {
	v.mu.RLock()
	series := maps.Clone(v.series)
	v.mu.RUnlock()
	keys := slices.SortedFunc(maps.Keys(series), func(a, b key) int {
		return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	for _, k := range keys {
		fn(labelText(v.labels, k), series[k])
	}
}

// labelText writes labels as the format does: backslash, quote and newline escaped.
func labelText(labels []string, k key) string {
	var out strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	for i, label := range labels {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(label + `="` + escape.Replace(k[i]) + `"`)
	}
	return out.String()
}

// Counter counts up.
type Counter struct{ *vector[atomic.Uint64] }

// Counter makes a counter; by convention its name ends in _total.
func (r *Registry) Counter(name, help string, labels ...string) Counter {
	c := Counter{newVector(name, help, labels, func() *atomic.Uint64 { return new(atomic.Uint64) })}
	r.add(name, c)
	return c
}

// Add counts n more, n not negative. With 0 the series exists from now on, so
// that an alert on its increase sees the first one.
func (c Counter) Add(n int, values ...string) { c.at(values).Add(uint64(max(0, n))) }

func (c Counter) write(w *bufio.Writer) {
	header(w, c.name, c.help, "counter")
	c.each(func(labels string, n *atomic.Uint64) { sample(w, c.name, labels, float64(n.Load())) })
}

// reading is a value that is asked for at each scrape.
type reading struct {
	kind, name, help, labels string
	value                    func() (float64, bool)
}

// Gauge makes a gauge. value is called at each scrape and must not block for
// long; with false the series is left out of that scrape, which is how Prometheus
// says "not known".
func (r *Registry) Gauge(name, help string, value func() (v float64, known bool)) {
	r.add(name, reading{kind: "gauge", name: name, help: help, value: value})
}

// Gauges makes a gauge with labels, whose series are those that values yields at each
// scrape: few, and none twice.
func (r *Registry) Gauges(name, help string, labels []string, values func(yield func(v float64, labels ...string))) {
	r.add(name, readings{name: name, help: help, labels: labels, values: values})
}

// readings are values of several series that are asked for at each scrape.
type readings struct {
	name, help string
	labels     []string
	values     func(yield func(v float64, labels ...string))
}

func (g readings) write(w *bufio.Writer) {
	header(w, g.name, g.help, "gauge")
	g.values(func(v float64, labels ...string) {
		var k key
		copy(k[:], labels)
		sample(w, g.name, labelText(g.labels, k), v)
	})
}

// Info makes a gauge that is always 1 and says something by its one label.
func (r *Registry) Info(name, help, label, value string) {
	r.add(name, reading{kind: "gauge", name: name, help: help, labels: labelText([]string{label}, key{value}),
		value: func() (float64, bool) { return 1, true }})
}

func (g reading) write(w *bufio.Writer) {
	header(w, g.name, g.help, g.kind)
	if value, known := g.value(); known {
		sample(w, g.name, g.labels, value)
	}
}
