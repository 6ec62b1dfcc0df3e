package main

import (
	"bytes"
	"encoding/json"
	"errors"
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

// A terminal that shows the log obeys nothing of what a user called a room.
func TestLogIsHarmless(t *testing.T) {
	const room = "a\x1b[2J\u009b31m\u202egnp\u2066\nlevel=ERROR é 👩\u200d👧"
	var out bytes.Buffer
	newLog(&out, slog.LevelInfo).Info("parked", "room", room, "err", errors.New(room))
	if strings.ContainsAny(strings.TrimSuffix(out.String(), "\n"), "\x1b\u009b\u202e\u2066\n") {
		t.Errorf("logged %q", out.String())
	}
	var line struct{ Room, Err string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Room != room || line.Err != room {
		t.Errorf("%v: read back as %q", err, line)
	}
	if !strings.Contains(out.String(), "é 👩\u200d👧") {
		t.Errorf("letters are escaped: %s", out.String())
	}
}
