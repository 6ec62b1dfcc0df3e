package main

import (
	"errors"
	"math"
	"time"
)

// chat is the chat in question.
type chat struct {
	Rate     float64 // messages a second at the busiest
	DayRate  float64 // the day's mean
	Rooms    int
	Skew     float64 // how unequal the rooms are: Zipf's exponent, 0 for all alike
	Clients  int
	Each     float64 // rooms that a client listens to
	Kinds    int     // channels of a room
	Machines int
}

// usual is a chat to begin with; none of it is measured.
func usual() chat {
	return chat{Rate: 100, DayRate: 5, Rooms: 500, Skew: 1, Clients: 2000, Each: 3, Kinds: 1, Machines: 1}
}

func (c chat) check() error {
	if !(c.Rate > 0 && c.Rate <= 1e5) || !(c.DayRate > 0 && c.DayRate <= c.Rate) || c.Rooms < 1 || c.Rooms > 1e5 || !(c.Skew >= 0 && c.Skew <= 2) ||
		c.Clients < 1 || !(c.Each > 0) || c.Kinds < 1 || c.Kinds > 4 || c.Machines < 1 || c.Machines > 100 {
		return errors.New("-rate, -day, -rooms, -clients, -each, -kinds and -machines must be positive, -skew from 0 to 2; -rate up to 100,000, -day up to -rate, -rooms up to 100,000, -kinds up to 4, -machines up to 100")
	}
	return nil
}

// speeds is what one machine and its neighbours do.
type speeds struct {
	Drain       float64       // rows a second through claim and ack
	Authorize   float64       // a second and core
	Accept      time.Duration // commit to accept at p50
	Cores       int
	RoundTrip   time.Duration // of one call to Pusher
	Connections int
}

// measured is what infra/load saw, at the careful end: two cores shared by the relay,
// Postgres, the emulated Pusher and the load itself. RoundTrip and Connections
// are no measurements: within a region, and Supabase's smallest databases (60 in
// all) with some left to others.
func measured() speeds {
	return speeds{Drain: 15_000, Authorize: 5_000, Accept: 5 * time.Millisecond, Cores: 1, RoundTrip: 50 * time.Millisecond, Connections: 40}
}

func (s speeds) check() error {
	if !(s.Drain > 0) || !(s.Authorize > 0) || s.Accept < 0 || s.Cores < 1 || s.RoundTrip < time.Millisecond || s.RoundTrip > time.Second || s.Connections < 1 {
		return errors.New("-drain, -authorize, -cores and -connections must be positive, -rtt from 1ms to 1s")
	}
	return nil
}

// What the function is made of; see functions/relay/relay.go and functions/app.go.
const (
	workers   = 32 // calls to Pusher under way at once
	batch     = 10 // entries in one, Pusher's limit
	poolConns = 12 // of one machine: relayConns and frontConns
)

// roomPace is how many events a second a single room can send: the next batch of a
// room goes out only when the one before was accepted.
func roomPace(c chat, s speeds) float64 { return float64(batch/c.Kinds) / s.RoundTrip.Seconds() }

// limit is one thing that ends, and what takes over there.
type limit struct {
	what, unit    string
	needed, there float64
	beyond        string
}

func (l limit) used() float64 { return l.needed / l.there }

// limits is the arithmetic. Each line stands alone: the first above 100 % is where
// this chat ends.
func limits(c chat, s speeds) []limit {
	machines := float64(c.Machines)
	return []limit{
		{"one room, in order", "messages/s", c.Rate * c.busiest(), roomPace(c, s), "two rooms: order allows nothing else"},
		{"calls to Pusher", "messages/s", c.Rate, machines * workers * roomPace(c, s), "more machines over the same leases"},
		{"claim and ack", "rows/s", c.Rate, s.Drain, "a bigger Postgres"},
		{"storm of authorizations", "within 10 s", c.storm(), 10 * machines * float64(s.Cores) * s.Authorize, "more machines, or Lambda beside them"},
		{"database connections", "", machines * poolConns, float64(s.Connections), "Supavisor's transaction mode (port 6543)"},
		{"Pusher: connections", "", float64(c.Clients), float64(largest().connections), "a larger plan; several apps share one account's"},
		{"Pusher: messages a day", "", c.pusherMessages(), float64(largest().messages), "a larger plan; several apps share one account's"},
	}
}

// busiest is the part of all messages that the busiest room has. By Zipf's law the
// room of rank n has 1/n^Skew as many.
func (c chat) busiest() float64 {
	sum := 0.0
	for rank := 1; rank <= c.Rooms; rank++ {
		sum += math.Pow(float64(rank), -c.Skew)
	}
	return 1 / sum
}

// storm is how many authorizations a reconnect of everybody asks for: one for each
// room, since a client listens to one kind of a room's channels.
func (c chat) storm() float64 { return float64(c.Clients) * c.Each }

func stormLasts(c chat, s speeds) time.Duration {
	return time.Duration(c.storm() / (float64(c.Machines*s.Cores) * s.Authorize) * float64(time.Second))
}

// listeners is the mean of a room.
func (c chat) listeners() float64 { return float64(c.Clients) * c.Each / float64(c.Rooms) }

// pusherMessages is a day's count as Pusher counts: an entry of a batch as one
// message, though the call may count only once, and one more for each listener.
func (c chat) pusherMessages() float64 {
	return math.Ceil(c.DayRate * 86_400 * (float64(c.Kinds) + c.listeners()))
}

// plan is one of Pusher's.
type plan struct {
	name        string
	price       int // USD a month
	connections int
	messages    int // a day
}

// plansAsOf is the date of the list that the plans below are of: a third party's,
// api-evangelist/pusher on GitHub, which names Pusher's pricing page as its source.
const plansAsOf = "2026-05-08"

func plans() []plan {
	return []plan{
		{"Sandbox", 0, 100, 200_000},
		{"Startup", 49, 500, 1_000_000},
		{"Pro", 99, 2_000, 4_000_000},
		{"Business", 299, 5_000, 10_000_000},
		{"Premium", 499, 10_000, 20_000_000},
		{"Growth", 699, 15_000, 40_000_000},
		{"Plus", 899, 20_000, 60_000_000},
		{"Growth Plus", 1_199, 30_000, 90_000_000},
	}
}

func largest() plan { all := plans(); return all[len(all)-1] }

// planFor returns the smallest plan that holds the chat.
func planFor(c chat) (plan, bool) {
	for _, p := range plans() {
		if c.Clients <= p.connections && c.pusherMessages() <= float64(p.messages) {
			return p, true
		}
	}
	return plan{}, false
}
