package main

import (
	"strconv"
	"time"

	"roomcast/functions/authorize"
	"roomcast/functions/canary"
	"roomcast/functions/relay"
	"roomcast/shared/admin"
	"roomcast/shared/audit"
	"roomcast/shared/metrics"
	"roomcast/shared/pusher"
)

// observations is what Prometheus scrapes, on a port of its own. No label names a
// room, a user or an address: there are as many of those as the chat has.
// infra/ops/prometheus holds a dashboard and alerts on these names.
type observations struct {
	*metrics.Registry

	webhooks, wakes, rowsClaimed, leasesLost           metrics.Counter
	published, retries, parked, pauses, databaseErrors metrics.Counter
	onScreen, onScreenLate, offScreen                  metrics.Counter
	authorizations, forwarded, revocations             metrics.Counter
	claim, publish, commitToAccept, requests           metrics.Histogram
	canaries                                           metrics.Counter   // with CANARY
	canaryHeard                                        metrics.Histogram // likewise
	backlog                                            *backlogGauge     // nil in forward-only mode
	journal                                            *journal          // likewise
}

var _ relay.Observer = (*observations)(nil)

// buckets are the upper ends of every histogram's: loopback at one end, a Pusher in
// trouble at the other. Those of the way from commit to acceptance go on to what a
// sweep, a backoff and an outage make of it.
func buckets(more ...float64) []float64 {
	return append([]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, more...)
}

func newObservations() *observations {
	r := metrics.New()
	o := &observations{
		Registry: r,

		webhooks:       r.Counter("roomcast_wakeup_webhooks_total", "Wake-up webhooks received with the right secret."),
		wakes:          r.Counter("roomcast_relay_wakes_total", "Times the relay left its sleep."),
		rowsClaimed:    r.Counter("roomcast_rows_claimed_total", "Rows taken from the outbox, repeats included."),
		leasesLost:     r.Counter("roomcast_leases_lost_total", "Rooms that another relay took over before this one was done."),
		published:      r.Counter("roomcast_events_published_total", "Events handed to Pusher, by what became of the call; a pack is one.", "result"),
		retries:        r.Counter("roomcast_retries_total", "Calls to Pusher whose events will be tried again, by why.", "reason"),
		parked:         r.Counter("roomcast_events_parked_total", "Events given up because Pusher will never take them, by why.", "reason"),
		pauses:         r.Counter("roomcast_pusher_pauses_total", "Times all workers paused because Pusher was in trouble, by kind.", "class"),
		databaseErrors: r.Counter("roomcast_database_errors_total", "Calls of the relay that the database did not answer, by call.", "call"),
		authorizations: r.Counter("roomcast_authorizations_total", "Requests of browsers to listen or sign in, by what became of them.", "result"),
		revocations:    r.Counter("roomcast_revocations_total", "Attempts to end the connections of a user who left a room, by what became of them.", "result"),
		onScreen:       r.Counter("roomcast_messages_on_screen_total", "Messages that reached a page, by the receipts of a sample of pages, by how they came.", "by"),
		onScreenLate:   r.Counter("roomcast_messages_on_screen_late_total", "Of these, messages that came more than four seconds after their commit.", "by"),
		offScreen:      r.Counter("roomcast_numbers_not_on_screen_total", "Numbers that came to a page by no way, by the same receipts: missing after two minutes, void in the history, or kept no more (window).", "why"),
		forwarded:      r.Counter("roomcast_webhooks_forwarded_total", "Webhooks of forward-only mode, by what became of them.", "result"),

		claim:   r.Histogram("roomcast_claim_duration_seconds", "Time of the claims that found rows.", buckets()),
		publish: r.Histogram("roomcast_publish_duration_seconds", "Time of the calls to Pusher, by what became of them.", buckets(), "result"),
		commitToAccept: r.Histogram("roomcast_commit_to_accept_seconds",
			"Time from each row's writing until Pusher accepted it, alone or in a pack, by the database's clock.", buckets(30, 60, 300, 1800)),
		requests: r.Histogram("roomcast_http_request_duration_seconds", "Time of the requests to the function.", buckets(), "route", "status"),
	}
	r.Info("roomcast_build_info", "The commit this program was built from.", "version", version())
	r.Process()
	o.announce()
	return o
}

// announce makes the series of results that may never come, at zero: an alert on an
// increase would not see the first of a series that did not exist before it.
func (o *observations) announce() {
	for _, class := range []pusher.Class{pusher.TryLater, pusher.Credentials, pusher.Refused} {
		o.retries.Add(0, word(class))
		o.pauses.Add(0, word(class))
	}
	for _, class := range []pusher.Class{pusher.Accepted, pusher.TryLater, pusher.Credentials, pusher.Refused, pusher.Rejected} {
		o.published.Add(0, word(class))
		o.publish.Announce(word(class))
	}
	for _, reason := range []string{"room", "record", "too-large", "refused"} {
		o.parked.Add(0, reason)
	}
	for _, result := range []string{"published", "failed", "rejected", "nothing"} {
		o.forwarded.Add(0, result)
	}
	for _, result := range []string{authorize.ResultAllowed, authorize.ResultBadToken, authorize.ResultForbidden,
		authorize.ResultUnavailable, authorize.ResultBusy, authorize.ResultError} {
		o.authorizations.Add(0, result)
	}
	o.arrived(audit.Delivered{})
	for _, call := range []string{"wake", "claim", "ack"} {
		o.databaseErrors.Add(0, call)
	}
}

// word is a class as a label has it.
func word(class pusher.Class) string {
	if class == pusher.TryLater {
		return "later"
	}
	return class.String()
}

// watch adds gauges of the relay and of its database. While the relay sleeps nothing
// waits, as far as it knows, and the database is not asked.
func (o *observations) watch(busy func() bool, backlog *backlogGauge) {
	o.backlog = backlog
	o.Gauge("roomcast_awake", "1 while the relay polls, 0 while it sleeps.", func() (float64, bool) {
		if busy() {
			return 1, true
		}
		return 0, true
	})
	gauge := func(name, help string, value func(b admin.Backlog) float64) {
		o.Gauge(name, help, func() (float64, bool) {
			if !busy() {
				return 0, true
			}
			b, known := backlog.read()
			return value(b), known
		})
	}
	gauge("roomcast_rows_waiting", "Rows that Pusher has not accepted yet; 0 asleep; absent while the database does not answer.",
		func(b admin.Backlog) float64 { return float64(b.Waiting) })
	gauge("roomcast_oldest_waiting_seconds", "Age of the oldest of them.",
		func(b admin.Backlog) float64 { return b.Oldest.Seconds() })
	gauge("roomcast_rows_in_flight", "Rows of rooms that a relay holds at this moment.",
		func(b admin.Backlog) float64 { return float64(b.InFlight) })
	// What was given up stays so while the relay sleeps: the last count is kept, so that
	// an alert on it does not end with the machine's work. It is read once more after the
	// last that was given up.
	o.Gauge("roomcast_parked_events", "Events given up and still kept, as last read; absent until the first read.", func() (float64, bool) {
		if busy() || backlog.isStale() {
			backlog.read()
		}
		b, known := backlog.latest()
		return float64(b.Parked), known
	})
}

// watchPusher adds for how long Pusher has not accepted events: pages poll meanwhile.
func (o *observations) watchPusher(trouble func() *relay.Trouble) {
	o.Gauge("roomcast_pusher_trouble_seconds", "Since when Pusher has not accepted events, and pages poll; 0 while it accepts them.", func() (float64, bool) {
		if t := trouble(); t != nil {
			return time.Since(t.Since).Seconds(), true
		}
		return 0, true
	})
}

// watchCanary adds the results of canaries.
func (o *observations) watchCanary() {
	o.canaries = o.Counter("roomcast_canaries_total", "Canaries by what became of them: heard, missed, unheard for want of a connection, unwritten.", "result")
	o.canaryHeard = o.Histogram("roomcast_canary_heard_seconds", "Time from before a canary's writing until it was heard back through Pusher.", buckets(30))
	for _, result := range []string{canary.Heard, canary.Missed, canary.Unheard, canary.Unwritten} {
		o.canaries.Add(0, result)
	}
}

func (o *observations) heard(result string, took time.Duration) {
	o.canaries.Add(1, result)
	if result == canary.Heard {
		o.canaryHeard.Observe(took)
	}
}

func (o *observations) request(route string, status int, took time.Duration) {
	o.requests.Observe(took, route, strconv.Itoa(status))
}

func (o *observations) authorized(result string) { o.authorizations.Add(1, result) }

// arrived counts what a page's receipt says of how messages came, and which did not.
func (o *observations) arrived(d audit.Delivered) {
	for _, way := range []struct {
		by      string
		n, late int64
	}{
		{"pushed", d.Pushed, d.LatePushed}, {"gap", d.Gap, d.LateGap}, {"reconnect", d.Reconnect, d.LateReconnect},
		{"polled", d.Polled, d.LatePolled}, {"supabase", d.Supabase, d.LateSupabase},
	} {
		o.onScreen.Add(int(way.n), way.by)
		o.onScreenLate.Add(int(way.late), way.by)
	}
	o.offScreen.Add(int(d.Missing), "missing")
	o.offScreen.Add(int(d.Void), "void")
	o.offScreen.Add(int(d.Window), "window")
}

func (o *observations) revoked(result string) { o.revocations.Add(1, result) }

// WebhookReceived counts a wake-up webhook with the right secret.
func (o *observations) WebhookReceived() { o.webhooks.Add(1) }

// Woke counts the times the hot loop left its sleep.
func (o *observations) Woke() { o.wakes.Add(1) }

// Claimed counts the rows taken from the outbox, repeats included, and times the
// claims that found any; those that found none would drown the rest.
func (o *observations) Claimed(rows int, took time.Duration) {
	if o.journal != nil {
		o.journal.claimed()
	}
	if rows > 0 {
		o.rowsClaimed.Add(rows)
		if took > 0 { // 0 where the database waited for the rows first
			o.claim.Observe(took)
		}
	}
}

// Published counts the events of one call to Pusher, as Pusher counts them, by the call's
// result. A call that was neither accepted nor rejected is tried again.
func (o *observations) Published(events int, took time.Duration, class pusher.Class) {
	o.published.Add(events, word(class))
	o.publish.Observe(took, word(class))
	if class != pusher.Accepted && class != pusher.Rejected {
		o.retries.Add(1, word(class))
	}
}

// Delivered counts a row, and measures what users feel: from its writing to its acceptance.
func (o *observations) Delivered(sinceWritten time.Duration) { o.commitToAccept.Observe(sinceWritten) }

// Parked counts an event that Pusher will never take.
func (o *observations) Parked(reason string) {
	o.parked.Add(1, reason)
	if o.backlog != nil {
		o.backlog.parked()
	}
}

// Paused counts the times all workers paused because Pusher was in trouble.
func (o *observations) Paused(class pusher.Class) { o.pauses.Add(1, word(class)) }

// LeaseLost counts a room another relay took over before this one was done.
func (o *observations) LeaseLost() { o.leasesLost.Add(1) }

// DatabaseFailed counts a call that the database did not answer.
func (o *observations) DatabaseFailed(call string) { o.databaseErrors.Add(1, call) }

// Forwarded counts a forward-only webhook by what became of it.
func (o *observations) Forwarded(result string) { o.forwarded.Add(1, result) }
