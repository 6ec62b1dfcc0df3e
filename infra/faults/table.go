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

func columns() []string {
	return []string{"fault", "messages", "lost", "repeated", "out of order", "seconds until drained"}
}

func (r result) cells() []string {
	return []string{
		r.fault, fmt.Sprint(r.messages), fmt.Sprint(r.lost), fmt.Sprint(r.repeated), fmt.Sprint(r.outOfOrder),
		fmt.Sprintf("%.1f", r.seconds),
	}
}

// worst adds what another seed came to: messages and what was broken are added up, of the
// rest the worst counts.
func worst(all, more []result, o options) []result {
	for _, r := range more {
		if o.seeds > 1 {
			for i := range r.wrong {
				r.wrong[i] = fmt.Sprintf("seed %d: %s", o.seed, r.wrong[i])
			}
			for i := range r.notes {
				r.notes[i] = fmt.Sprintf("seed %d: %s", o.seed, r.notes[i])
			}
		}
		i := slices.IndexFunc(all, func(a result) bool { return a.fault == r.fault })
		if i < 0 {
			all = append(all, r)
			continue
		}
		a := &all[i]
		a.messages, a.lost, a.outOfOrder = a.messages+r.messages, a.lost+r.lost, a.outOfOrder+r.outOfOrder
		a.repeated, a.again, a.parked = max(a.repeated, r.repeated), max(a.again, r.again), max(a.parked, r.parked)
		a.seconds = max(a.seconds, r.seconds)
		a.wrong, a.notes = append(a.wrong, r.wrong...), append(a.notes, r.notes...)
		if r.seen != nil {
			a.seen.add(*r.seen)
		}
	}
	return all
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
	seeds := fmt.Sprintf("Seed %d", o.seed)
	if o.seeds > 1 {
		seeds = fmt.Sprintf("Seeds %d to %d: messages, lost and out of order of all, the worst of the rest", o.seed, o.seed+uint64(o.seeds)-1)
	}
	fmt.Fprintf(w, "\n%s; lease %s, sweep %s.\n", seeds, o.timing.lease, o.timing.sweep)
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
	line(columns())
	for _, r := range results {
		line(r.cells())
	}
}

func markdown(w io.Writer, results []result) {
	fmt.Fprintf(w, "| %s |\n|---|%s\n", strings.Join(columns(), " | "), strings.Repeat("---:|", len(columns())-1))
	for _, r := range results {
		fmt.Fprintf(w, "| %s |\n", strings.Join(r.cells(), " | "))
	}
}
