package main

import (
	"io"
	"log/slog"
	"time"

	"roomcast/shared/terminal"
)

// newLog writes one JSON object a line, with durations as "1.234ms": slog's own are
// nanoseconds, which nobody reads.
func newLog(to io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(harmless{to}, &slog.HandlerOptions{Level: level, ReplaceAttr: readable}))
}

// harmless escapes what a terminal would obey, in room ids above all. JSON's own escapes
// are for ASCII: C1 controls and marks that turn the direction of text pass.
type harmless struct{ to io.Writer }

func (h harmless) Write(line []byte) (int, error) {
	for _, c := range line {
		if c >= 0x80 {
			_, err := io.WriteString(h.to, terminal.CleanJSON(string(line)))
			return len(line), err
		}
	}
	return h.to.Write(line)
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
