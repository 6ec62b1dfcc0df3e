// Package metrics keeps counters, histograms and gauges and writes them in
// Prometheus' text format 0.0.4
// (prometheus.io/docs/instrumenting/exposition_formats).
//
// It is small on purpose. Prometheus' own library brings protobuf along, two
// megabytes of a program that starts on request; VictoriaMetrics' writes neither
// HELP nor TYPE and prints a line of its own at every start. The official parser
// and linter read what this one writes, in its tests.
//
// It promises: every family is written with its help and type from the first
// scrape on; a series that was added to is never lost or reset while the process
// lives. Labels are for few values known beforehand: nothing here forgets one.
package metrics

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Registry is a set of metric families, written in the order in which they were
// made. It is safe for concurrent use.
type Registry struct {
	mu       sync.Mutex
	families []family
	names    map[string]bool
}

// family is all series of one name.
type family interface {
	write(w *bufio.Writer)
}

// New makes an empty registry.
func New() *Registry { return &Registry{names: map[string]bool{}} }

// add registers a family. A name that comes twice is a mistake in the program,
// found at its first start.
func (r *Registry) add(name string, f family) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names[name] {
		panic("metrics: " + name + " is registered twice")
	}
	r.names[name] = true
	r.families = append(r.families, f)
}

// Write writes every family. Gauges are asked now, outside of any lock of theirs.
func (r *Registry) Write(to io.Writer) error {
	r.mu.Lock()
	families := r.families[:len(r.families):len(r.families)]
	r.mu.Unlock()
	w := bufio.NewWriter(to)
	for _, f := range families {
		f.write(w)
	}
	return w.Flush()
}

// ServeHTTP answers a scrape.
func (r *Registry) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = r.Write(w) // a scraper that hung up comes again
}

// header writes what the format wants before a family's samples.
func header(w *bufio.Writer, name, help, kind string) {
	help = strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help)
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes one line. labels is empty or a="x",b="y".
func sample(w *bufio.Writer, name, labels string, value float64) {
	_, _ = w.WriteString(name)
	if labels != "" {
		_, _ = w.WriteString("{" + labels + "}")
	}
	_, _ = w.WriteString(" " + number(value) + "\n")
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
