package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one line of the table.
type result struct {
	what    string
	reached string
	target  string
	met     bool
	note    string // how it was measured, or what bounds it; may be empty
}

// verdict is the table's last column.
func (r result) verdict() string {
	switch {
	case r.target == "":
		return ""
	case r.met:
		return "yes"
	}
	return "no"
}

// report is a whole run.
type report struct {
	machine  machine
	quick    bool
	profiled bool
	took     time.Duration
	results  []result
}

// heading says what the figures are of: without it they mean nothing.
func (r *report) heading() string {
	s := fmt.Sprintf("%s. Commit %s, %s; measured in %s.",
		r.machine.hardware, r.machine.commit, r.machine.date, r.took.Round(time.Second))
	if r.machine.load != "" {
		s += fmt.Sprintf(" Load average before the start: %s.", r.machine.load)
	}
	if r.quick {
		s += " With -quick: small counts, so these are no figures to quote."
	}
	if r.profiled {
		s += " With profiles being taken, which slows the function down."
	}
	return s
}

// text writes the table for a terminal.
func (r *report) text(w io.Writer) {
	fmt.Fprintln(w, r.heading())
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\treached\ttarget\tmet")
	for _, line := range r.results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", line.what, line.reached, line.target, line.verdict())
	}
	_ = t.Flush()
	for _, line := range r.results {
		if line.note != "" {
			fmt.Fprintf(w, "\n%s: %s\n", line.what, line.note)
		}
	}
}

// markdown writes the table for the README, with its notes below.
func (r *report) markdown(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n| what | reached | target | met |\n|---|---|---|---|\n", r.heading())
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	var notes []string
	for _, line := range r.results {
		what := cell.Replace(line.what)
		if line.note != "" {
			notes = append(notes, line.note)
			what += fmt.Sprintf(" <sup>%d</sup>", len(notes))
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", what, cell.Replace(line.reached), cell.Replace(line.target), line.verdict())
	}
	fmt.Fprintln(w)
	for i, note := range notes {
		fmt.Fprintf(w, "%d. %s\n", i+1, cell.Replace(note))
	}
}

// median of values, which are not changed; 0 for none.
func median[T ~int64 | ~float64](values []T) T { return quantile(values, 0.5) }

// quantile by nearest rank: a value that was seen, never one in between.
func quantile[T cmp.Ordered](values []T, q float64) T {
	if len(values) == 0 {
		var zero T
		return zero
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// perSecond is a rate.
func perSecond(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

// ms prints a duration in milliseconds, as exact as it is worth.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	if v < 10 {
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}

// us prints a duration in microseconds.
func us(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond)) }

// us1 is us for less than a few.
func us1(d time.Duration) string {
	return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
}

// mb prints bytes in millions, as sizes of programs are given.
func mb(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// count prints a number with thousands apart: 65,000.
func count[T ~int | ~int64 | ~float64](n T) string {
	s := strconv.FormatInt(int64(math.Round(float64(n))), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
