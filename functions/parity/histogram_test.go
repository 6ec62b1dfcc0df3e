package parity

import (
	"math"
	"testing"
	"time"
)

// A bucket's number, as Edge tells pages to find it, is the one whose edges hold
// the delay.
func TestEdges(t *testing.T) {
	for ms := 1; ms < 60000; ms += 7 {
		i := min(31, int(math.Ceil(2*math.Log2(float64(ms)))))
		d := time.Duration(ms) * time.Millisecond
		if i < 31 && d > Edge(i)+time.Nanosecond || i > 0 && d < Edge(i-1)-time.Nanosecond {
			t.Fatalf("%v is not in bucket %d", d, i)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var counts [Buckets]int64
	for ms := 1.0; ms <= 1000; ms++ {
		counts[int(math.Ceil(2*math.Log2(ms)))]++
	}
	d := newDelays(counts[:])
	for _, tt := range []struct{ got, want float64 }{{d.P50, 500}, {d.P95, 950}, {d.P99, 990}} {
		if math.Abs(tt.got/tt.want-1) > 0.2 {
			t.Errorf("got %.0f, want about %.0f", tt.got, tt.want)
		}
	}
	if none := newDelays(nil); none.P95 != 0 || none.Count != 0 {
		t.Errorf("of nothing: %+v", none)
	}
	late := make([]int64, Buckets)
	late[31] = 5
	if got := newDelays(late).P50; math.Abs(got-ms(Edge(30))) > 1 {
		t.Errorf("of the open bucket: %.0f", got)
	}
}

func TestNumbersAsPeopleReadThem(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := number(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
	for v, want := range map[float64]string{0: "–", 3.14: "3.1 ms", 42.4: "42 ms", 994: "994 ms", 1234: "1.23 s", 32768: "33 s"} {
		if got := millis(v); got != want {
			t.Errorf("%v is written %s", v, got)
		}
	}
}
