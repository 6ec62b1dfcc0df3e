package main

import (
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	values := []time.Duration{5, 1, 4, 2, 3}
	for _, tc := range []struct {
		q    float64
		want time.Duration
	}{{0, 1}, {0.5, 3}, {0.99, 5}, {1, 5}, {0.2, 1}, {0.21, 2}} {
		if got := quantile(values, tc.q); got != tc.want {
			t.Errorf("quantile %v: %d, want %d", tc.q, got, tc.want)
		}
	}
	if values[0] != 5 {
		t.Error("the values were sorted in place")
	}
	if got := median([]float64(nil)); got != 0 {
		t.Errorf("median of nothing: %v", got)
	}
}

func TestMedianRatioComparesPairs(t *testing.T) {
	// The machine slowed down twofold in the last round: a ratio of medians would not
	// say so, the median of ratios does not care.
	if got := medianRatio([]float64{80, 80, 40}, []float64{100, 100, 50}); got != 0.8 {
		t.Errorf("got %v", got)
	}
}

func TestPrinting(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{count(7), "7"},
		{count(65_000), "65,000"},
		{count(1_234_567.4), "1,234,567"},
		{count(-1234), "-1,234"},
		{count(-123), "-123"},
		{ms(3140 * time.Microsecond), "3.1 ms"},
		{ms(19_600 * time.Microsecond), "20 ms"},
		{us(29_400), "29 µs"},
		{mb(12_140_000), "12.1 MB"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}

func TestPoissonHasItsMeanAndItsSeed(t *testing.T) {
	const n, rate = 20_000, 50.0
	gaps := poisson(n, rate, 7)
	var sum time.Duration
	over := 0 // longer than the mean: e^-1 of them, if they are exponential
	for _, gap := range gaps {
		sum += gap
		if gap.Seconds() > 1/rate {
			over++
		}
	}
	if mean := sum.Seconds() / n; mean < 0.97/rate || mean > 1.03/rate {
		t.Errorf("mean gap %v s, want %v", mean, 1/rate)
	}
	if share := float64(over) / n; share < 0.35 || share > 0.39 {
		t.Errorf("%v of the gaps are longer than the mean, want 0.37", share)
	}
	if again := poisson(n, rate, 7); again[n-1] != gaps[n-1] {
		t.Error("the same seed gives other gaps")
	}
}
