package main

import (
	"fmt"
	"net/http"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"roomcast/functions/relay"
	"roomcast/shared/pusher"
)

// metrics is what Prometheus scrapes, on a port of its own. No label names a
// room, a user or an address: there are as many of those as the chat has.
//
// The library is VictoriaMetrics' and not Prometheus' own, which brings protobuf
// along: 2.3 MB of a binary that is to stay under 14.
type metrics struct {
	set *vm.Set
}

var _ relay.Observer = (*metrics)(nil)

func newMetrics() *metrics { return &metrics{set: vm.NewSet()} }

// handler writes the metrics in Prometheus' text format.
func (m *metrics) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		m.set.WritePrometheus(w)
		vm.WriteProcessMetrics(w)
	})
}

// count adds to a counter; label is empty or one name="value".
func (m *metrics) count(name, label string, n int) {
	m.set.GetOrCreateCounter("roomcast_" + name + "{" + label + "}").Add(n)
}

// time adds to a histogram of seconds: loopback at one end of its buckets, a
// Pusher in trouble at the other.
func (m *metrics) time(name, labels string, took time.Duration) {
	buckets := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	m.set.GetOrCreatePrometheusHistogramExt("roomcast_"+name+"{"+labels+"}", buckets).Update(took.Seconds())
}

func label(name, value string) string { return fmt.Sprintf("%s=%q", name, value) }

func (m *metrics) request(route string, status int, took time.Duration) {
	m.time("http_request_duration_seconds", fmt.Sprintf("route=%q,status=\"%d\"", route, status), took)
}

func (m *metrics) authorized(result string) {
	m.count("authorizations_total", label("result", result), 1)
}

// Bell counts a bell received.
func (m *metrics) Bell() { m.count("bells_total", "", 1) }

// Woke counts the times the hot loop left its sleep.
func (m *metrics) Woke() { m.count("wake_ups_total", "", 1) }

// Claimed counts the rows taken from the outbox, repeats included, and times the
// claims that found any; those that found none would drown the rest.
func (m *metrics) Claimed(rows int, took time.Duration) {
	if rows > 0 {
		m.count("rows_claimed_total", "", rows)
		m.time("claim_duration_seconds", "", took)
	}
}

// Published counts the events of one call to Pusher by what became of it.
func (m *metrics) Published(events int, took time.Duration, class pusher.Class) {
	result := label("result", class.String())
	m.count("events_published_total", result, events)
	m.time("publish_duration_seconds", result, took)
}

// Delivered measures what users feel: from the row's writing to its acceptance.
func (m *metrics) Delivered(sinceWritten time.Duration) {
	m.time("commit_to_accept_seconds", "", sinceWritten)
}

// Parked counts an event that Pusher will never take.
func (m *metrics) Parked(reason string) { m.count("events_parked_total", label("reason", reason), 1) }

// Paused counts the times all lanes paused because Pusher was in trouble.
func (m *metrics) Paused(class pusher.Class) {
	m.count("pusher_pauses_total", label("class", class.String()), 1)
}

// LeaseLost counts a room another relay took over before this one was done.
func (m *metrics) LeaseLost() { m.count("leases_lost_total", "", 1) }

// Forwarded counts a forward-only webhook by what became of it.
func (m *metrics) Forwarded(result string) {
	m.count("webhooks_forwarded_total", label("result", result), 1)
}
