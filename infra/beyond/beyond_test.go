package main

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The arithmetic, done by hand for one chat.
func TestLimitsByHand(t *testing.T) {
	c := chat{Rate: 300, DayRate: 10, Rooms: 2, Skew: 1, Clients: 1000, Each: 2, Kinds: 1, Machines: 2}
	s := speeds{Drain: 1000, Authorize: 100, Cores: 1, RoundTrip: 100 * time.Millisecond, Connections: 40}
	want := map[string][2]float64{
		"one room, in order":      {200, 100},   // two thirds of 300; 10 per 100 ms
		"calls to Pusher":         {300, 6400},  // 2 machines, 32 workers
		"claim and ack":           {300, 1000},  //
		"storm of authorizations": {2000, 2000}, // 2 machines, 10 s
		"database connections":    {24, 40},
		"Pusher: connections":     {1000, 30_000},
		"Pusher: messages a day":  {864_000 * 1001, 90_000_000},
	}
	for _, l := range limits(c, s) {
		if w := want[l.what]; math.Abs(l.needed-w[0]) > 1e-6 || math.Abs(l.there-w[1]) > 1e-6 {
			t.Errorf("%v, want %v", l, w)
		}
		delete(want, l.what)
	}
	if len(want) > 0 {
		t.Errorf("not among the limits: %v", want)
	}
	if got := stormLasts(c, s); got != 10*time.Second {
		t.Errorf("a storm lasts %v", got)
	}
}

// The function has what the arithmetic says of it.
func TestWhatTheFunctionIsMadeOf(t *testing.T) {
	number := func(file, before string) int {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(regexp.QuoteMeta(before) + `(\d+)`).FindSubmatch(source)
		if found == nil {
			t.Fatalf("%s: no %q", file, before)
		}
		n, _ := strconv.Atoi(string(found[1]))
		return n
	}
	const main = "../../functions/app.go"
	if n := number(main, "relayConns = ") + number(main, "frontConns = "); n != poolConns {
		t.Errorf("a machine opens %d connections, not %d", n, poolConns)
	}
	if n := number("../../functions/relay/relay.go", "c.Workers = cmp.Or(c.Workers, "); n != workers {
		t.Errorf("%d workers, not %d", n, workers)
	}
}

// Pusher's own example: 40,000 messages to 500 clients count as 20,040,000.
func TestPusherCounts(t *testing.T) {
	c := chat{DayRate: 40_000.0 / 86_400, Rooms: 1, Clients: 500, Each: 1, Kinds: 1}
	if got := c.pusherMessages(); math.Abs(got-20_040_000) > 1 {
		t.Errorf("counts %v", got)
	}
	if p, ok := planFor(c); !ok || p.name != "Growth" {
		t.Errorf("plan %v", p)
	}
}

func TestSimulation(t *testing.T) {
	s := measured()
	stronger := s
	stronger.Drain *= 2
	prompt := func(r result) bool { return r.empty && r.at(0.99) <= 3*s.RoundTrip }
	behind := func(r result) bool { return r.at(0.99) > 5*time.Second }
	for _, c := range []struct {
		name   string
		chat   chat
		speeds speeds
		outage time.Duration
		holds  func(result) bool
	}{
		{"far below every limit nothing waits", chat{Rate: 100, Rooms: 500, Skew: 1, Kinds: 1, Machines: 1}, s, 0, prompt},
		{"a room that is too busy falls behind, whatever the machines", chat{Rate: 500, Rooms: 1, Kinds: 1, Machines: 8}, s, 0, behind},
		{"three such rooms do not", chat{Rate: 500, Rooms: 3, Kinds: 1, Machines: 1}, s, 0, prompt},
		{"one machine has too few workers", chat{Rate: 9000, Rooms: 500, Kinds: 1, Machines: 1}, s, 0, behind},
		{"two have enough", chat{Rate: 9000, Rooms: 500, Kinds: 1, Machines: 2}, s, 0, prompt},
		{"machines do not move the database's limit", chat{Rate: 20_000, Rooms: 500, Kinds: 1, Machines: 8}, s, 0, behind},
		{"a stronger database does", chat{Rate: 20_000, Rooms: 500, Kinds: 1, Machines: 8}, stronger, 0, prompt},
		{"an outage is caught up", chat{Rate: 100, Rooms: 500, Skew: 1, Kinds: 1, Machines: 1}, s, 10 * time.Second,
			func(r result) bool {
				return r.empty && r.most > 800 && r.at(1) > 9*time.Second && r.after > 0 && r.after < 20*time.Second
			}},
	} {
		if r := simulate(c.chat, c.speeds, c.outage); !c.holds(r) {
			t.Errorf("%s: p50 %v, p99 %v, max %v, most %d, left %d, after %v", c.name, r.at(0.5), r.at(0.99), r.at(1), r.most, r.left, r.after)
		}
	}
}

// Nothing is lost or sent twice in the simulation, and a room's order is kept.
func TestSendKeepsOrderAndCount(t *testing.T) {
	rooms := []waiting{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {}, {20}}
	var got []int
	c, s := chat{Kinds: 1, Machines: 1}, measured()
	if n := send(rooms, 2, c, s, func(committed int) { got = append(got, committed) }); n != 11 || len(got) != 11 {
		t.Fatalf("sent %d, told %v", n, got)
	}
	if got[0] != 20 || got[1] != 1 || got[10] != 10 || len(rooms[0]) != 2 {
		t.Errorf("sent %v, left %v", got, rooms)
	}
}

// By hand: 90,000 answers at 700/s are 129 s, four times what pages wait; at 38,000/s 2.4 s.
func TestMachines(t *testing.T) {
	small, large := machines()[0], machines()[1]
	for _, c := range []struct {
		rate    float64
		clients int
		want    machine
		count   int
	}{
		{100, 2_000, small, 1},   // 9 s
		{100, 30_000, large, 1},  // 129 s on the smallest
		{4_000, 2_000, large, 1}, // more than half of the smallest's rows
		{100_000, 2_000, large, 3},
		{100, 500_000, large, 2}, // 39 s
	} {
		m, count := machineFor(chat{Rate: c.rate, Clients: c.clients, Each: 3})
		if m != c.want || count != c.count {
			t.Errorf("%v/s, %d clients: %d of %s", c.rate, c.clients, count, m.name)
		}
	}
}

// The page's table is what the program says.
func TestPageNamesTheMachines(t *testing.T) {
	page, err := os.ReadFile("../BEYOND.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, clients := range []int{500, 2_000, 5_000, 10_000, 30_000} {
		c := usual()
		c.Clients = clients
		m, count := machineFor(c)
		line := fmt.Sprintf("| %s | %s | %s | %d of %s |", figure(float64(clients)), machines()[0].storm(c).Round(time.Second), machines()[1].storm(c).Round(10*time.Millisecond), count, m.name)
		if !bytes.Contains(page, []byte(line)) {
			t.Errorf("BEYOND.md has not: %s", line)
		}
	}
}

func TestPoisson(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, mean := range []float64{0.01, 2, 75} {
		sum, n := 0, 20_000
		for range n {
			sum += poisson(random, mean)
		}
		if got := float64(sum) / float64(n); math.Abs(got-mean) > 5*math.Sqrt(mean/float64(n)) {
			t.Errorf("mean %v of %v", got, mean)
		}
	}
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-rate", "50", "-rooms", "100", "-clients", "40000"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one room, in order", "Enterprise", "Simulated"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in:\n%s", line, out.String())
		}
	}
	for _, bad := range [][]string{{"-rate", "NaN"}, {"-rooms", "0"}, {"-rtt", "0s"}, {"-outage", "2m"}, {"more"}, {"-day", "900"}} {
		if err := run(bad, &out, &out); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}
