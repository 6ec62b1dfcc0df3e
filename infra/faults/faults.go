package main

import "context"

// allFaults is the index, in the order of the table.
func allFaults() []fault {
	return []fault{
		{"nothing breaks", full, nothing},
		{"relay killed between claim and publish", both, killBeforePublish},
		{"relay killed between publish and ack", both, killBeforeAck},
		{"relays killed again and again", full, killAgainAndAgain},
		{"relay frozen past its lease, then back", both, freezePastLease},
		{"relay frozen while it reads a claim", both, freezeInClaim},
		{"Postgres restarted immediate, mid-drain", both, restartPostgres},
		{"database connections cut", both, cutConnections},
		{"wake-ups lost while asleep", full, loseWakeups},
		{"clock 15 minutes off", full, clockOff},
		{"Pusher slow", full, pusherSlow},
		{"Pusher hangs", full, pusherHangs},
		{"Pusher resets connections", full, pusherResets},
		{"Pusher answers 200 with rubbish", full, pusherRubbish},
		{"Pusher storms with 429 and 5xx", both, pusherStorms},
		{"Pusher down for a while", full, pusherDown},
		{"poison messages", both, poison},
		{"one failing room", both, failingRoom},
		{"everything at once", full, everything},
		{"backlog of 100,000 rows", full, backlog(100_000)},
		{"backlog of 10,000 rows", short, backlog(10_000)},
	}
}

// nothing is the control: what the other lines are to be compared with.
func nothing(ctx context.Context, s *scene) error { return s.write(ctx, 2000) }
