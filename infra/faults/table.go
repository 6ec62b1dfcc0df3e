package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// result is one line of the table.
type result struct {
	fault string
	verdict
	seconds float64 // from the end of the fault and the last commit until all is sent
	notes   []string
	seen    *seen // what pages showed, if any watched
}

// kept reports whether the promises were.
func (r result) kept() bool { return r.lost == 0 && r.outOfOrder == 0 && len(r.wrong) == 0 }

var columns = []string{"fault", "messages", "lost", "repeated", "out of order", "seconds until drained"}

func (r result) cells() []string {
	return []string{
		r.fault, fmt.Sprint(r.messages), fmt.Sprint(r.lost), fmt.Sprint(r.repeated), fmt.Sprint(r.outOfOrder),
		fmt.Sprintf("%.1f", r.seconds),
	}
}

// printTable writes the results, what else was seen, and what was broken.
func printTable(w io.Writer, results []result, o options) {
	if o.markdown {
		markdown(w, results)
	} else {
		plain(w, results)
	}
	if slices.ContainsFunc(results, func(r result) bool { return r.seen != nil }) {
		printScreens(w, results)
	}
	fmt.Fprintf(w, "\nSeed %d, lease %s, sweep %s.\n", o.seed, o.timing.lease, o.timing.sweep)
	for _, r := range results {
		if r.parked > 0 {
			fmt.Fprintf(w, "%s: %d refused messages parked\n", r.fault, r.parked)
		}
		if r.again > 0 {
			fmt.Fprintf(w, "%s: %d messages came once more, in a new epoch\n", r.fault, r.again)
		}
		for _, note := range r.notes {
			fmt.Fprintf(w, "%s: %s\n", r.fault, note)
		}
		for i, wrong := range r.wrong {
			if i == 10 {
				fmt.Fprintf(w, "BROKEN: %s: and %d more\n", r.fault, len(r.wrong)-i)
				break
			}
			fmt.Fprintf(w, "BROKEN: %s: %s\n", r.fault, wrong)
		}
	}
}

func plain(w io.Writer, results []result) {
	line := func(cells []string) {
		fmt.Fprintf(w, "%-42s%10s%7s%10s%14s%23s\n", cells[0], cells[1], cells[2], cells[3], cells[4], cells[5])
	}
	line(columns)
	for _, r := range results {
		line(r.cells())
	}
}

func markdown(w io.Writer, results []result) {
	fmt.Fprintf(w, "| %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---:|", len(columns)-1))
	for _, r := range results {
		fmt.Fprintf(w, "| %s |\n", strings.Join(r.cells(), " | "))
	}
}
