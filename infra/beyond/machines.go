package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"
)

// machine is a size that Fly sells, and what infra/load measured on one like it.
type machine struct {
	name      string
	drain     float64 // rows a second through claim, Pusher and ack
	authorize float64 // answers a second to pages that ask for their rooms at once
}

// machines from the smallest. A shared CPU is 1/16 of a core once its balance is spent; the
// figures of two cores are of a machine that client, function and Postgres shared.
func machines() []machine {
	return []machine{
		{"shared-cpu-1x, 256 MB", 6_500, 700},
		{"performance-2x", 80_000, 38_000},
	}
}

// reconnect is how long all pages may take to be live again after an outage. Refused pages
// try again with backoff, so a longer storm costs patience and no message.
const reconnect = 30 * time.Second

// spare is the part of a machine's rows that a chat may need at its busiest: what is left
// drains what waited through an outage.
const spare = 0.5

// storm is how long a machine answers after every page lost its connection.
func (m machine) storm(c chat) time.Duration {
	return time.Duration(c.storm() / m.authorize * float64(time.Second))
}

// needed is how many such machines the chat takes. More of them than one do not drain more
// rows where the database is the limit (limits), but answer more pages.
func (m machine) needed(c chat) int {
	return max(1, int(math.Ceil(c.Rate/(spare*m.drain))), int(math.Ceil(m.storm(c).Seconds()/reconnect.Seconds())))
}

// machineFor is the smallest machine of which one is enough, or the largest and how many.
func machineFor(c chat) (m machine, count int) {
	for _, m = range machines() {
		if count = m.needed(c); count == 1 {
			break
		}
	}
	return m, count
}

func drawMachines(w io.Writer, c chat) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "one machine\trows/s\tof them\tall pages live again in")
	for _, m := range machines() {
		fmt.Fprintf(t, "%s\t%s\t%.0f %%\t%s\n", m.name, figure(m.drain), 100*c.Rate/m.drain, m.storm(c).Round(10*time.Millisecond))
	}
	_ = t.Flush()
	m, count := machineFor(c)
	fmt.Fprintf(w, "Take %d of %s, so that the busiest needs at most %.0f %% of its rows, and all pages are live again within %s.\n", count, m.name, 100*spare, reconnect)
}
