package main

import (
	"io"
	"log/slog"
	"time"
)

// newLog writes one JSON object a line, with durations as "1.234ms": slog's own are
// nanoseconds, which nobody reads.
func newLog(to io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: readable}))
}

func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(round(a.Value.Duration()).String())
	}
	return a
}

// round leaves three or four digits.
func round(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d.Abs() >= 10_000*unit {
		unit *= 10
	}
	return d.Round(unit)
}
