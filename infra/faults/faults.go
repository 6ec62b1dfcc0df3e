package main

import "context"

// allFaults is the index, in the order of the table.
func allFaults() []fault {
	return []fault{
		{name: "nothing breaks", form: full, breaks: nothing},
		{name: "relay killed between claim and publish", form: both, breaks: killBeforePublish},
		{name: "relay killed between publish and ack", form: both, breaks: killBeforeAck},
		{name: "relays killed again and again", form: full, breaks: killAgainAndAgain},
		{name: "relay frozen past its lease, then back", form: both, breaks: freezePastLease},
		{name: "relay frozen while it reads a claim", form: both, breaks: freezeInClaim},
		{name: "Postgres restarted immediate, mid-drain", form: both, breaks: restartPostgres},
		{name: "database connections cut", form: both, breaks: cutConnections},
		{name: "wake-ups lost while asleep", form: full, breaks: loseWakeups},
		{name: "clock 15 minutes off", form: full, breaks: clockOff},
		{name: "Pusher slow", form: full, breaks: pusherSlow},
		{name: "Pusher hangs", form: full, breaks: pusherHangs},
		{name: "Pusher resets connections", form: full, breaks: pusherResets},
		{name: "Pusher answers 200 with rubbish", form: full, breaks: pusherRubbish},
		{name: "Pusher storms with 429 and 5xx", form: both, breaks: pusherStorms},
		{name: "Pusher down for a while", form: full, breaks: pusherDown},
		{name: "poison messages", form: both, breaks: poison},
		{name: "one failing room", form: both, breaks: failingRoom},
		{name: "everything at once", form: full, breaks: everything},
		{name: "restored in place to an earlier moment", form: full, breaks: restoreInPlace, alone: true, settings: archive()},
		{name: "standby promoted without the last moments", form: both, breaks: promote, alone: true},
		{name: "upgraded by pg_upgrade", form: full, breaks: upgrade, alone: true},
		{name: "dumped, and restored in another version", form: both, breaks: dumpAndRestore, alone: true},
		{name: "pages: Pusher over its quota", form: full, breaks: overQuota, alone: true},
		{name: "pages: Pusher's API down, sockets up", form: both, breaks: restDown, alone: true},
		{name: "pages: sockets down, Pusher's API up", form: full, breaks: socketsDown, alone: true},
		{name: "pages: sockets silent", form: full, breaks: socketsSilent, alone: true},
		{name: "pages: both down", form: full, breaks: bothDown, alone: true},
		{name: "backlog of 100,000 rows", form: full, breaks: backlog(100_000)},
		{name: "backlog of 10,000 rows", form: short, breaks: backlog(10_000)},
	}
}

// nothing is the control: what the other lines are to be compared with.
func nothing(ctx context.Context, s *scene) error { return s.write(ctx, 2000) }
