package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"roomcast/shared/outbox"
)

// scales are how far growth goes. The full ones take nine minutes.
type scales struct {
	rooms []int
	kept  []int
	rows  int // of each drain
	users int // who ask to listen
	asks  time.Duration
}

func (l *lab) scales() scales {
	switch {
	case l.quick:
		return scales{rooms: []int{10, 1000, 10_000}, kept: []int{10_000, 100_000}, rows: 10_000, users: authUsersFew, asks: 500 * time.Millisecond}
	case l.reduced:
		return scales{rooms: []int{10, 1000, 20_000}, kept: []int{10_000, 500_000}, rows: 20_000, users: 5_000, asks: time.Second}
	}
	return scales{rooms: []int{10, 1000, 100_000}, kept: []int{10_000, 10_000_000}, rows: backlog, users: authUsers, asks: 3 * time.Second}
}

// caption says what the plot is of.
func (l *lab) caption(s scales) string {
	kind := "full scales"
	if l.quick || l.reduced {
		kind = "reduced scales"
	}
	return fmt.Sprintf("%s; %s, commit %s; %s: drains of %s rows each", processor(), l.about.date, l.about.commit, kind, count(s.rows))
}

// growth: how the cost of each thing grows with the rooms of a chat, and with the rows
// that are kept. It takes nine minutes, so it runs only when asked for by -only, and
// draws what it found where -plot says.
func growth(ctx context.Context, l *lab, _ *database) {
	to := l.scales()
	rooms := panel{title: "rooms", across: to.rooms}
	for _, n := range rooms.across {
		l.costAt(ctx, &rooms, n, 0)
	}
	kept := panel{title: "rows kept, in 1,000 rooms", across: to.kept}
	for _, n := range kept.across {
		l.costAt(ctx, &kept, 1000, n)
	}
	if l.plot != "" {
		check(os.WriteFile(l.plot, []byte(draw(l.caption(to), rooms, kept)), 0o644))
	}
	l.found(rooms.lines("from 10 to %s rooms")...)
	l.found(kept.lines("from 10,000 to %s kept rows")...)
}

// costAt measures on a database of its own, and appends to the panel's curves.
func (l *lab) costAt(ctx context.Context, p *panel, rooms, kept int) {
	l.say("  %s rooms, %s rows kept", count(rooms), count(kept))
	l.with(ctx, func(db *database) {
		if kept > 0 {
			l.keepFor(ctx, db, kept, rooms)
		}
		rows := l.scales().rows
		for _, relays := range []int{1, 4} {
			d := l.drainRelay(ctx, db, work{rows: rows, rooms: rooms, relays: relays})
			p.add(map[int]string{1: "a row drained", 4: "a row drained by 4 relays"}[relays], time.Duration(float64(time.Second)/d.rate))
		}
		box := must(outbox.Open(db.relay, 4))
		defer box.Close()
		a := l.askOutbox(ctx, []keeper{{db, box}}, rooms, 0)[0]
		p.add("a claim", a.claim)
		p.add("a page of history", a.history)
		p.add("INSERT, triggers included", insertIn(ctx, db, rooms))
		p.add("an authorization", l.authorizedIn(ctx, db, rooms))
	})
}

// keepFor is keep over connections that end with it: their work is no relay's.
func (l *lab) keepFor(ctx context.Context, db *database, rows, rooms int) {
	box := must(outbox.Open(db.relay, 4))
	defer box.Close()
	l.keep(ctx, db, box, rows, rooms)
}

// insertIn is the CPU time of one INSERT, relay awake.
func insertIn(ctx context.Context, db *database, rooms int) time.Duration {
	conn := db.connect(ctx)
	defer conn.Close(context.WithoutCancel(ctx))
	var turns []time.Duration
	for range 6 {
		db.lease(ctx, 50*time.Second)
		turn, _ := insertTurn(ctx, conn, roomcastTable, 250, rooms)
		turns = append(turns, turn)
	}
	return median(turns[1:])
}

// authorizedIn is the time between two answers of a busy function.
func (l *lab) authorizedIn(ctx context.Context, db *database, rooms int) time.Duration {
	users := db.gather(ctx, l.scales().users, rooms)
	defer users.keys.Close()
	p := l.function(ctx, append(users.environment(), "DATABASE_URL="+db.relay)...)
	s := &server{program: p}
	c := comparison{
		rounds: 1, conns: authConns, length: l.scales().asks,
		request: func(i int64) []byte { return users.each[i%int64(len(users.each))] },
	}
	c.run(ctx, s)
	check(p.stop())
	return time.Duration(float64(time.Second) / s.rate())
}

// lines say for each curve how much more the last point costs than the first.
func (p *panel) lines(what string) (out []result) {
	for _, c := range p.curves {
		first, last := c.costs[0], c.costs[len(c.costs)-1]
		out = append(out, result{
			what:    c.name + ", " + fmt.Sprintf(what, count(p.across[len(p.across)-1])),
			reached: fmt.Sprintf("%s → %s (%.1f times)", us1(first), us1(last), float64(last)/float64(first)),
		})
	}
	return out
}
