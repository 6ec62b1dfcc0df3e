// Command beyond says where one machine ends: the arithmetic of infra/BEYOND.md for a
// chat described by flags, and a simulation of the relay's rooms, workers and batches.
//
//	go run ./infra/beyond -clients 5000 -rooms 800 -rate 200
//
// It measures nothing. Its figures of speed are defaults from runs of infra/load on
// two shared cores, to be replaced by your own; those of Pusher are of its plans.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "beyond:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	c, speed := usual(), measured()
	flags := flag.NewFlagSet("beyond", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Float64Var(&c.Rate, "rate", c.Rate, "the chat: messages a second, at the busiest")
	flags.Float64Var(&c.DayRate, "day", c.DayRate, "the chat: messages a second, mean of a day")
	flags.IntVar(&c.Rooms, "rooms", c.Rooms, "the chat: rooms in use at the busiest")
	flags.Float64Var(&c.Skew, "skew", c.Skew, "the chat: how unequal its rooms are; 1 is Zipf's law, 0 all alike")
	flags.IntVar(&c.Clients, "clients", c.Clients, "the chat: connected clients at the busiest")
	flags.Float64Var(&c.Each, "each", c.Each, "the chat: rooms that a client listens to")
	flags.IntVar(&c.Kinds, "kinds", c.Kinds, "the chat: channels of a room (ROOM_CHANNELS)")
	flags.IntVar(&c.Machines, "machines", c.Machines, "machines that are awake")
	flags.Float64Var(&speed.Drain, "drain", speed.Drain, "measured: rows a second that claim and ack manage")
	flags.Float64Var(&speed.Authorize, "authorize", speed.Authorize, "measured: authorizations a second of one core")
	flags.DurationVar(&speed.Accept, "accept", speed.Accept, "measured: commit to accept at p50, with Pusher next door")
	flags.IntVar(&speed.Cores, "cores", speed.Cores, "cores of a machine")
	flags.DurationVar(&speed.RoundTrip, "rtt", speed.RoundTrip, "assumed: one call to Pusher, there and back")
	flags.IntVar(&speed.Connections, "connections", speed.Connections, "connections that the database gives to the relays")
	outage := flags.Duration("outage", 10*time.Second, "how long Pusher is away in the simulation")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := errors.Join(c.check(), speed.check()); err != nil {
		return err
	}
	if flags.NArg() > 0 || *outage < 0 || *outage > time.Minute {
		return errors.New("only flags are known; -outage is up to 1m")
	}
	drawLimits(stdout, c, speed)
	drawMachines(stdout, c)
	drawPlans(stdout, c)
	drawSimulation(stdout, c, speed, *outage)
	return nil
}

func drawLimits(w io.Writer, c chat, s speeds) {
	fmt.Fprintf(w, "%g messages/s at the busiest, %d rooms, %d clients, %d machine(s)\n\n", c.Rate, c.Rooms, c.Clients, c.Machines)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "limit\tneeded\tthere is\tused\tbeyond it")
	for _, l := range limits(c, s) {
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%.0f %%\t%s\n", l.what, figure(l.needed), l.unit, figure(l.there), 100*l.used(), l.beyond)
	}
	_ = t.Flush()
	fmt.Fprintf(w, "\nAfter an outage every client asks again, once for each room: %s authorizations take %s.\n",
		figure(c.storm()), stormLasts(c, s).Round(10*time.Millisecond))
}

func drawPlans(w io.Writer, c chat) {
	fmt.Fprintf(w, "\nPusher counts %s messages a day (each published once, and once for each listener), %d connections: ", figure(c.pusherMessages()), c.Clients)
	if p, ok := planFor(c); ok {
		fmt.Fprintf(w, "%s, %d USD a month.\n", p.name, p.price)
	} else {
		fmt.Fprintln(w, "beyond the listed plans, so Enterprise.")
	}
	fmt.Fprintln(w, "(Plans as reported on "+plansAsOf+", at second hand: they change, look at Pusher's own page.)")
}

func drawSimulation(w io.Writer, c chat, s speeds, outage time.Duration) {
	fmt.Fprintf(w, "\nSimulated: %s of it, Pusher away for %s in the middle; the busiest room has %.1f %% of it all\n\n", simulated, outage, 100*c.busiest())
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "messages/s\tmachines\tcommit to accept p50\tp99 without outage\tp99 with\tmost waiting\tsent all")
	for _, times := range []float64{1, 4, 16} {
		for _, machines := range []int{c.Machines, 2 * c.Machines} {
			step := c
			step.Rate, step.Machines = c.Rate*times, machines
			calm, rough := simulate(step, s, 0), simulate(step, s, outage)
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", figure(step.Rate), machines, calm.at(0.5), calm.at(0.99), rough.at(0.99),
				figure(float64(rough.most)), caughtUp(rough))
		}
	}
	_ = t.Flush()
}

func caughtUp(r result) string {
	if !r.empty {
		return "no: " + figure(float64(r.left)) + " still wait"
	}
	return fmt.Sprintf("%.1f s after it", r.after.Seconds())
}

// figure writes a number with at most three digits that mean something.
func figure(n float64) string {
	switch {
	case n >= 999_500_000:
		return fmt.Sprintf("%.3g billion", n/1e9)
	case n >= 999_500:
		return fmt.Sprintf("%.3g million", n/1e6)
	case n >= 9_995:
		return fmt.Sprintf("%.0f,000", n/1e3)
	case n >= 100:
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.3g", n)
}
