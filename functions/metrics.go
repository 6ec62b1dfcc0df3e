package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"roomcast/functions/relay"
	"roomcast/shared/pusher"
)

// metrics is what Prometheus scrapes, on a port of its own. No label names a
// room, a user or an address: there are as many of those as the chat has.
type metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.HistogramVec
	published *prometheus.CounterVec
	publish   *prometheus.HistogramVec
	delivered prometheus.Histogram
	claimed   prometheus.Counter
	claim     prometheus.Histogram
	parked    *prometheus.CounterVec
	paused    *prometheus.CounterVec
	forwarded *prometheus.CounterVec
	authz     *prometheus.CounterVec
	bells     prometheus.Counter
	wakeUps   prometheus.Counter
	leases    prometheus.Counter
}

var _ relay.Observer = (*metrics)(nil)

// Buckets in seconds: loopback at one end, a Pusher in trouble at the other.
func callBuckets() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "roomcast", Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "roomcast", Name: name, Help: help}, labels)
	}
	opts := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "roomcast", Name: name, Help: help, Buckets: callBuckets()}
	}
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		requests:  prometheus.NewHistogramVec(opts("http_request_duration_seconds", "Time to answer a request."), []string{"route", "status"}),
		published: counters("events_published_total", "Events in calls to Pusher, by what became of the call.", "result"),
		publish:   prometheus.NewHistogramVec(opts("publish_duration_seconds", "Time of one call to Pusher."), []string{"result"}),
		delivered: prometheus.NewHistogram(opts("commit_to_accept_seconds", "From the row's writing to its acceptance by Pusher.")),
		claimed:   counter("rows_claimed_total", "Rows taken from the outbox, repeats included."),
		claim:     prometheus.NewHistogram(opts("claim_duration_seconds", "Time of one claim that returned rows.")),
		parked:    counters("events_parked_total", "Events Pusher will never take.", "reason"),
		paused:    counters("pusher_pauses_total", "Times all lanes paused because Pusher was in trouble.", "class"),
		forwarded: counters("webhooks_forwarded_total", "Forward-only mode: webhooks, by what became of them.", "result"),
		authz:     counters("authorizations_total", "Channel and user authorizations, by result.", "result"),
		bells:     counter("bells_total", "Bells received."),
		wakeUps:   counter("wake_ups_total", "Times the hot loop left its sleep."),
		leases:    counter("leases_lost_total", "Rooms another relay took over before this one was done."),
	}
	m.registry.MustRegister(m.requests, m.published, m.publish, m.delivered, m.claimed, m.claim, m.parked, m.paused,
		m.forwarded, m.authz, m.bells, m.wakeUps, m.leases, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) authorized(result string) { m.authz.WithLabelValues(result).Inc() }

// Bell counts a bell.
func (m *metrics) Bell() { m.bells.Inc() }

// Woke counts a wake-up.
func (m *metrics) Woke() { m.wakeUps.Inc() }

// Claimed counts rows; polls that found none would drown the rest.
func (m *metrics) Claimed(rows int, took time.Duration) {
	if rows > 0 {
		m.claimed.Add(float64(rows))
		m.claim.Observe(took.Seconds())
	}
}

// Published counts the events of one call.
func (m *metrics) Published(events int, took time.Duration, class pusher.Class) {
	m.published.WithLabelValues(class.String()).Add(float64(events))
	m.publish.WithLabelValues(class.String()).Observe(took.Seconds())
}

// Delivered measures what users feel.
func (m *metrics) Delivered(sinceWritten time.Duration) { m.delivered.Observe(sinceWritten.Seconds()) }

// Parked counts an event given up.
func (m *metrics) Parked(reason string) { m.parked.WithLabelValues(reason).Inc() }

// Paused counts a pause.
func (m *metrics) Paused(class pusher.Class) { m.paused.WithLabelValues(class.String()).Inc() }

// LeaseLost counts a room taken over.
func (m *metrics) LeaseLost() { m.leases.Inc() }

// Forwarded counts a webhook.
func (m *metrics) Forwarded(result string) { m.forwarded.WithLabelValues(result).Inc() }
