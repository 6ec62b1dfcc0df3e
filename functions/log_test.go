package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestDurationsAreReadable(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1_234_567 * time.Nanosecond: "1.235ms", 15 * time.Second: "15s", 5 * time.Minute: "5m0s", 750 * time.Microsecond: "750µs",
		-1_234_567_891 * time.Nanosecond: "-1.235s", 0: "0s",
	} {
		var out bytes.Buffer
		newLog(&out, slog.LevelInfo).Info("x", slog.Group("g", "took", d))
		if !strings.Contains(out.String(), `"took":"`+want+`"`) {
			t.Errorf("%d is logged as %s, want %s", d, out.String(), want)
		}
	}
}
