package recent_test

import (
	"testing"
	"time"

	"roomcast/shared/recent"
)

var start = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

func TestMapKeepsForAPeriodAndForgetsAfterTwo(t *testing.T) {
	for _, tc := range []struct {
		put, get time.Duration // after the first generation began
		want     bool
	}{
		{0, 0, true},
		{0, 999 * time.Millisecond, true},
		{0, 1999 * time.Millisecond, true}, // the generation before
		{0, 2 * time.Second, false},
		{900 * time.Millisecond, 1900 * time.Millisecond, true}, // a whole period after it was put
		{900 * time.Millisecond, 2900 * time.Millisecond, false},
		{500 * time.Millisecond, -time.Millisecond, false}, // the clock was set back
	} {
		m := recent.New[string, int](time.Second, 10)
		m.Get("the first generation begins", start)
		m.Put("k", 7, start.Add(tc.put))
		if v, ok := m.Get("k", start.Add(tc.get)); ok != tc.want || ok && v != 7 {
			t.Errorf("put at %v, read at %v: %d, %v, want %v", tc.put, tc.get, v, ok, tc.want)
		}
	}
}

func TestMapIsBounded(t *testing.T) {
	m := recent.New[int, int](time.Second, 3)
	for i := range 3 {
		if !m.Put(i, i, start) {
			t.Fatalf("no room for entry %d of 3", i)
		}
	}
	if m.Put(3, 3, start) {
		t.Error("a fourth entry was taken")
	}
	if _, ok := m.Get(3, start); ok {
		t.Error("an entry that was refused is found")
	}
	if !m.Put(2, 22, start) {
		t.Error("an entry that is there already was not replaced")
	}
	if v, _ := m.Get(2, start); v != 22 {
		t.Errorf("replaced entry is %d", v)
	}
	m.Delete(2)
	if _, ok := m.Get(2, start); ok {
		t.Error("found after Delete")
	}
	m.Put(2, 22, start)
	m.Clear()
	if _, ok := m.Get(2, start); ok {
		t.Error("found after Clear")
	}
}

func TestWithin(t *testing.T) {
	now := time.Now() // carries a monotonic reading
	for _, tc := range []struct {
		name string
		t    time.Time
		want bool
	}{
		{"now", now, true},
		{"just before the end", now.Add(-time.Minute + 1), true},
		{"at the end", now.Add(-time.Minute), false},
		{"in the future", now.Add(time.Second), false},
		{"never", time.Time{}, false},
		{"by the wall clock only", now.Add(-2 * time.Minute).Round(0), false},
	} {
		if got := recent.Within(tc.t, now, time.Minute); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
