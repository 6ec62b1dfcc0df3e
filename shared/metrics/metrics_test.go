package metrics_test

import (
	"bytes"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"roomcast/shared/metrics"
)

// scrape reads what a registry writes with Prometheus' own parser.
func scrape(t *testing.T, r *metrics.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&text)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func TestCounter(t *testing.T) {
	r := metrics.New()
	plain := r.Counter("plain_total", "Counted.")
	r.Counter("untouched_total", "Not counted yet.")
	labelled := r.Counter("labelled_total", `Help with \ and`+"\na new line.", "reason", "class")
	plain.Add(2)
	plain.Add(-7) // counters do not go down
	labelled.Add(3, `a "quoted" \ value`+"\n", "x")
	labelled.Add(0, "announced", "x")
	got := scrape(t, r)
	if v := got["plain_total"].Metric[0].Counter.GetValue(); v != 2 {
		t.Errorf("plain is %v, want 2", v)
	}
	if v := got["untouched_total"].Metric[0].Counter.GetValue(); v != 0 {
		t.Errorf("untouched is %v, want 0", v)
	}
	series := got["labelled_total"].Metric
	if len(series) != 2 || series[0].Label[0].GetValue() != `a "quoted" \ value`+"\n" || series[0].Counter.GetValue() != 3 {
		t.Errorf("labelled is %v", series)
	}
	if help := got["labelled_total"].GetHelp(); help != `Help with \ and`+"\na new line." {
		t.Errorf("help is %q", help)
	}
}

func TestHistogram(t *testing.T) {
	r := metrics.New()
	h := r.Histogram("took_seconds", "Took.", []float64{.01, .1, 1}, "result")
	h.Announce("ok")
	if n := scrape(t, r)["took_seconds"].Metric[0].Histogram.GetSampleCount(); n != 0 {
		t.Errorf("announced with a count of %d", n)
	}
	for _, d := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 11 * time.Millisecond, time.Second, time.Minute} {
		h.Observe(d, "ok")
	}
	got := scrape(t, r)["took_seconds"].Metric[0].Histogram
	want := []uint64{2, 3, 4, 5} // a bound belongs to its own bucket
	for i, b := range got.Bucket {
		if b.GetCumulativeCount() != want[i] {
			t.Errorf("bucket le=%v holds %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want[i])
		}
	}
	if got.GetSampleCount() != 5 || math.Abs(got.GetSampleSum()-61.022) > 1e-9 {
		t.Errorf("count %d, sum %v", got.GetSampleCount(), got.GetSampleSum())
	}
}

func TestGaugeThatDoesNotKnowIsLeftOut(t *testing.T) {
	r := metrics.New()
	r.Gauge("known", "Known.", func() (float64, bool) { return 1.5, true })
	r.Gauge("unknown", "Unknown.", func() (float64, bool) { return 0, false })
	r.Info("build_info", "Build.", "version", "abc")
	got := scrape(t, r)
	if v := got["known"].Metric[0].Gauge.GetValue(); v != 1.5 {
		t.Errorf("known is %v", v)
	}
	if f := got["unknown"]; f != nil && len(f.Metric) > 0 {
		t.Errorf("unknown has a value: %v", f)
	}
	if l := got["build_info"].Metric[0].Label[0]; l.GetName() != "version" || l.GetValue() != "abc" {
		t.Errorf("info is %v", l)
	}
}

func TestGaugesWithLabels(t *testing.T) {
	r := metrics.New()
	r.Gauges("held_seconds", "Held.", []string{"kind", "who"}, func(yield func(float64, ...string)) {
		yield(1.5, "session", "a \"quoted\" \\ name")
		yield(7, "slot", "b")
	})
	r.Gauges("nothing_seconds", "Nothing.", []string{"kind"}, func(func(float64, ...string)) {})
	got := scrape(t, r)
	series := got["held_seconds"].GetMetric()
	if len(series) != 2 || series[0].Gauge.GetValue() != 1.5 || series[0].Label[1].GetValue() != `a "quoted" \ name` || series[1].Label[0].GetValue() != "slot" {
		t.Errorf("held is %v", series)
	}
	if f := got["nothing_seconds"]; f != nil && len(f.Metric) > 0 {
		t.Errorf("nothing has a value: %v", f)
	}
}

func TestProcess(t *testing.T) {
	r := metrics.New()
	r.Process()
	got := scrape(t, r)
	if v := got["process_resident_memory_bytes"].Metric[0].Gauge.GetValue(); v < 1<<20 || v > 1<<33 {
		t.Errorf("memory in use: %v bytes", v)
	}
	if v := got["process_cpu_seconds_total"].Metric[0].Counter.GetValue(); v < 0 || v > 3600 {
		t.Errorf("processor time: %v s", v)
	}
	if v := got["process_start_time_seconds"].Metric[0].Gauge.GetValue(); math.Abs(v-float64(time.Now().Unix())) > 600 {
		t.Errorf("started at %v", v)
	}
}

func TestLinterIsContent(t *testing.T) {
	r := metrics.New()
	r.Process()
	r.Counter("roomcast_things_total", "Things.", "kind").Add(1, "a")
	r.Histogram("roomcast_took_seconds", "Took.", []float64{1}).Observe(time.Second)
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(&text).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	r := metrics.New()
	c := r.Counter("c_total", "C.", "who")
	h := r.Histogram("h_seconds", "H.", []float64{1})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 500 {
				c.Add(1, strings.Repeat("x", i%3))
				h.Observe(time.Millisecond)
			}
			if err := r.Write(io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got, sum := scrape(t, r), 0.0
	for _, m := range got["c_total"].Metric {
		sum += m.Counter.GetValue()
	}
	if n := got["h_seconds"].Metric[0].Histogram.GetSampleCount(); sum != 4000 || n != 4000 {
		t.Errorf("counted %v and %v, want 4000", sum, n)
	}
}

func TestMistakesAreFoundAtOnce(t *testing.T) {
	r := metrics.New()
	r.Counter("twice_total", "Twice.")
	for name, mistake := range map[string]func(){
		"a name twice":          func() { r.Counter("twice_total", "Twice.") },
		"a label forgotten":     func() { r.Counter("a_total", "A.", "x").Add(1) },
		"a label more than two": func() { r.Counter("b_total", "B.", "x", "y", "z") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s went unnoticed", name)
				}
			}()
			mistake()
		}()
	}
}

func BenchmarkCounter(b *testing.B) {
	c := metrics.New().Counter("c_total", "C.", "result")
	b.ReportAllocs()
	for b.Loop() {
		c.Add(10, "accepted")
	}
}

func BenchmarkHistogram(b *testing.B) {
	h := metrics.New().Histogram("h_seconds", "H.", []float64{.001, .01, .1, 1})
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(5 * time.Millisecond)
	}
}
