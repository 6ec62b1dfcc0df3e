package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"gopkg.in/yaml.v2"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
)

// families reads metrics with Prometheus' own parser.
func families(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value is that of a family's series with these labels, name and value in turns.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	for _, m := range families[name].GetMetric() {
		have := map[string]string{}
		for _, l := range m.Label {
			have[l.GetName()] = l.GetValue()
		}
		for i := 0; i < len(labels); i += 2 {
			if have[labels[i]] != labels[i+1] {
				have = nil
				break
			}
		}
		if have != nil {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

// The metrics of a running function tell what it did: a message that Pusher took at
// the second try, one that it refused for good, a browser without a token.
func TestMetricsOfARunningFunction(t *testing.T) {
	t.Parallel()
	push, url := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+url))
	push.Inject(pushertest.Fault{Status: 500, Times: 1})
	f.message(t, url, "hello")
	f.wakeUp(t)
	await(t, push, 1)
	refusing := push.Inject(pushertest.Fault{Status: 413})
	f.message(t, url, "too much")
	f.until(t, "the event is parked", func(m map[string]*dto.MetricFamily) bool {
		return value(m, "roomcast_events_parked_total", "reason", "refused") == 1
	})
	refusing.Remove()
	f.post(t, "/pusher/auth", "application/x-www-form-urlencoded", "socket_id=1.1&channel_name=private-room-x", "")

	m := f.scrape(t)
	for _, want := range []struct {
		name   string
		labels []string
		value  float64
	}{
		{"roomcast_wakeup_webhooks_total", nil, 1},
		{"roomcast_relay_wakes_total", nil, 1},
		{"roomcast_events_published_total", []string{"result", "accepted"}, 1},
		{"roomcast_retries_total", []string{"reason", "later"}, 1},
		{"roomcast_retries_total", []string{"reason", "credentials"}, 0},
		{"roomcast_commit_to_accept_seconds", nil, 1},
		{"roomcast_publish_duration_seconds", []string{"result", "accepted"}, 1},
		{"roomcast_authorizations_total", []string{"result", "bad_token"}, 1},
		{"roomcast_http_request_duration_seconds", []string{"route", "POST /pusher/auth", "status", "401"}, 1},
		{"roomcast_leases_lost_total", nil, 0},
		{"roomcast_database_errors_total", []string{"call", "claim"}, 0},
		{"roomcast_awake", nil, 1},
		{"roomcast_rows_waiting", nil, 0},
		{"roomcast_parked_events", nil, 1},
	} {
		f.until(t, want.name, func(m map[string]*dto.MetricFamily) bool { // gauges are some seconds old
			return value(m, want.name, want.labels...) == want.value
		})
	}
	for _, name := range []string{"roomcast_rows_claimed_total", "roomcast_claim_duration_seconds", "process_resident_memory_bytes"} {
		if value(m, name) <= 0 {
			t.Errorf("%s is %v", name, value(m, name))
		}
	}
	problems, err := promlint.New(bytes.NewReader(f.metricsText(t))).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

// What waits is shown while it does, and is gone from the scrape, not zero, while the
// database does not answer.
func TestBacklogGauges(t *testing.T) {
	t.Parallel()
	push, url := newPusher(t), outboxtest.Chat(t)
	push.Inject(pushertest.Fault{Status: 403}) // pauses the workers for a minute
	f := start(t, environment(push, "DATABASE_URL="+url))
	f.message(t, url, "waits")
	f.wakeUp(t)
	f.until(t, "the row that waits", func(m map[string]*dto.MetricFamily) bool {
		return value(m, "roomcast_rows_waiting") == 1 && value(m, "roomcast_oldest_waiting_seconds") > 0 &&
			value(m, "roomcast_pusher_pauses_total", "class", "refused") == 1
	})
	if err := outboxtest.Exec(t.Context(), url, `alter function roomcast.backlog() rename to hidden`); err != nil {
		t.Fatal(err)
	}
	f.until(t, "the gauges are left out", func(m map[string]*dto.MetricFamily) bool {
		return value(m, "roomcast_rows_waiting") == -1 && value(m, "roomcast_oldest_waiting_seconds") == -1 && value(m, "roomcast_awake") == 1
	})
}

// Asleep at rest: scrapes and health checks come, and not one statement reaches the
// database.
func TestAsleepNothingIsAsked(t *testing.T) {
	t.Parallel()
	statements := make(chan string, 10_000)
	server := outboxtest.Start(t, outboxtest.Options{
		Settings: map[string]string{"log_statement": "all", "log_line_prefix": "%a ", "autovacuum": "off"},
		Log: func(line string) {
			if strings.HasPrefix(line, "roomcast ") {
				statements <- line
			}
		},
	})
	url := server.URL("postgres")
	if err := outboxtest.InstallChat(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	f := start(t, environment(newPusher(t), "DATABASE_URL="+url, "LINGER=100ms"))
	f.message(t, url, "hello")
	f.wakeUp(t)
	f.until(t, "it sleeps", func(m map[string]*dto.MetricFamily) bool {
		return value(m, "roomcast_commit_to_accept_seconds") == 1 && value(m, "roomcast_awake") == 0
	})
	seen := 0
	for len(statements) > 0 {
		<-statements
		seen++
	}
	if seen == 0 {
		t.Fatal("no statement was seen while it was awake: this test sees nothing")
	}
	rest := time.After(1500 * time.Millisecond) // silence has no event to wait for
	for asked := false; !asked; {
		select {
		case line := <-statements:
			t.Fatalf("asleep, it asked the database: %s", line)
		case <-rest:
			asked = true
		default:
			if value(f.scrape(t), "roomcast_rows_waiting") != 0 {
				t.Fatal("asleep, and rows wait")
			}
			f.get(t, f.address+"/healthz")
		}
	}
}

// What was given up is still counted while the relay sleeps: an alert on it stays.
func TestParkedIsCountedAsleep(t *testing.T) {
	t.Parallel()
	push, url := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+url, "LINGER=1s"))
	push.Inject(pushertest.Fault{Status: 413})
	f.message(t, url, "refused")
	f.wakeUp(t)
	f.until(t, "the event is parked", func(m map[string]*dto.MetricFamily) bool { return value(m, "roomcast_parked_events") == 1 })
	f.until(t, "it sleeps", func(m map[string]*dto.MetricFamily) bool { return value(m, "roomcast_awake") == 0 })
	if got := value(f.scrape(t), "roomcast_parked_events"); got != 1 {
		t.Errorf("asleep, %v events are parked, want 1", got)
	}
}

// Every name that the dashboard and the alerts speak of is a metric of the function,
// and so is every label.
func TestDashboardAndAlertsNameWhatExists(t *testing.T) {
	t.Parallel()
	push := newPusher(t)
	url := outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+url, "CANARY=true"))
	f.post(t, "/pusher/auth", "application/x-www-form-urlencoded", "socket_id=1.1&channel_name=private-room-x", "")
	f.message(t, url, "hello") // what only the database knows is there once the relay has been awake
	f.wakeUp(t)
	f.until(t, "the gauges are read", func(m map[string]*dto.MetricFamily) bool { return value(m, "roomcast_parked_events") == 0 })
	f.until(t, "a canary is told of", func(m map[string]*dto.MetricFamily) bool { return m["roomcast_canaries_total"] != nil })
	have := f.scrape(t)
	for file, expressions := range map[string][]string{
		"alerts.yml": alertExpressions(t), "dashboard.json": dashboardExpressions(t),
	} {
		if len(expressions) < 10 {
			t.Fatalf("%s: %d expressions", file, len(expressions))
		}
		for _, expr := range expressions {
			checkExpression(t, file, expr, have)
		}
	}
}

var (
	metricName  = regexp.MustCompile(`\b(roomcast|process|go)_\w+(\{[^}]*\})?`)
	labelInside = regexp.MustCompile(`(\w+)=`)
	suffix      = regexp.MustCompile(`_(bucket|sum|count)$`)
)

func checkExpression(t *testing.T, file, expr string, have map[string]*dto.MetricFamily) {
	t.Helper()
	found := metricName.FindAllStringSubmatch(expr, -1)
	if len(found) == 0 {
		t.Errorf("%s: no metric in %q", file, expr)
	}
	for _, m := range found {
		name, _, _ := strings.Cut(m[0], "{")
		family := have[name]
		if family == nil {
			family = have[suffix.ReplaceAllString(name, "")]
		}
		if family == nil {
			t.Errorf("%s: there is no metric %s", file, name)
			continue
		}
		labels := map[string]bool{}
		for _, series := range family.Metric {
			for _, l := range series.Label {
				labels[l.GetName()] = true
			}
		}
		for _, l := range labelInside.FindAllStringSubmatch(m[2], -1) {
			if l[1] == "app" { // given by who scrapes, as alerts.yml says
				continue
			}
			if len(family.Metric) > 0 && !labels[l[1]] {
				t.Errorf("%s: %s has no label %s, only %v", file, name, l[1], slices.Collect(maps.Keys(labels)))
			}
		}
	}
	if strings.Count(expr, "(") != strings.Count(expr, ")") {
		t.Errorf("%s: brackets do not match in %q", file, expr)
	}
}

func alertExpressions(t *testing.T) (out []string) {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(read(t, "alerts.yml"), &rules); err != nil || len(rules.Groups) == 0 {
		t.Fatalf("alerts.yml: %d groups, %v", len(rules.Groups), err)
	}
	for _, r := range rules.Groups[0].Rules {
		if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || len(r.Annotations["do"]) < 40 {
			t.Errorf("alert %q lacks a severity, a summary or what to do", r.Alert)
		}
		out = append(out, r.Expr)
	}
	return out
}

func dashboardExpressions(t *testing.T) (out []string) {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "dashboard.json"), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			out = append(out, target.Expr)
		}
	}
	return out
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../infra/ops/prometheus/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// await waits until Pusher has accepted n events.
func await(t *testing.T, push *pushertest.Server, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := push.Wait(ctx, func(all []pushertest.Accepted) bool { return len(all) >= n }); err != nil {
		t.Fatalf("%d events: %v", n, err)
	}
}

func (f *function) metricsText(t *testing.T) []byte {
	t.Helper()
	return f.get(t, f.metrics+"/metrics")
}

func (f *function) scrape(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	return families(t, f.metricsText(t))
}

// until scrapes until done.
func (f *function) until(t *testing.T, what string, done func(map[string]*dto.MetricFamily) bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done(f.scrape(t)) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("timed out: %s\n%s", what, f.metricsText(t))
		}
	}
}

func (f *function) get(t *testing.T, address string) []byte {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", address, resp.StatusCode, err)
	}
	return body
}
