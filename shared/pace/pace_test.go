package pace

import (
	"fmt"
	"math"
	"testing"
	"time"
)

var config = Config{Min: time.Minute, Max: time.Hour, PerMinute: 300, PerCaller: 10}

// Clients that do as they are told keep the requests near what one process wants, however
// many they are, and a few come at the least pace.
func TestSettles(t *testing.T) {
	for _, tt := range []struct {
		clients float64
		every   time.Duration
	}{
		{20, time.Minute},
		{300, time.Minute},
		{3000, 10 * time.Minute},
		{45000, time.Hour},
	} {
		p := New(config)
		now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
		every := p.Arrived("", now)
		for range 5 { // minutes
			arriving := int(math.Round(tt.clients / every.Minutes()))
			for i := range arriving {
				every = p.Arrived(fmt.Sprint("user ", i), now.Add(time.Duration(i)*time.Minute/time.Duration(arriving)))
			}
			now = now.Add(time.Minute)
		}
		if off := math.Abs(every.Seconds()/tt.every.Seconds() - 1); off > 0.02 {
			t.Errorf("%v clients: every %v, want %v", tt.clients, every, tt.every)
		}
	}
}

// One caller who asks sixty times a second makes nobody wait.
func TestOneCallerBendsNoPace(t *testing.T) {
	p := New(config)
	now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	for i := range 10 * 3600 { // ten minutes
		if every := p.Arrived("eager", now.Add(time.Duration(i)*time.Second/60)); every != config.Min {
			t.Fatalf("after %d requests every client is to wait %v", i, every)
		}
	}
}
