package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox"
)

// scales are how far growth goes. Half an hour goes with the full ones, five minutes with
// the reduced ones.
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
// that are kept. It takes half an hour, so it runs only when asked for by -only, and
// draws what it found where -plot says.
func growth(ctx context.Context, l *lab, _ *database) ([]result, error) {
	to := l.scales()
	rooms := panel{title: "rooms", across: to.rooms}
	for _, n := range rooms.across {
		if err := l.costAt(ctx, &rooms, n, 0); err != nil {
			return nil, err
		}
	}
	kept := panel{title: "rows kept, in 1,000 rooms", across: to.kept}
	for _, n := range kept.across {
		if err := l.costAt(ctx, &kept, 1000, n); err != nil {
			return nil, err
		}
	}
	if l.plot != "" {
		if err := os.WriteFile(l.plot, []byte(draw(l.caption(to), rooms, kept)), 0o644); err != nil {
			return nil, err
		}
	}
	return append(rooms.lines("from 10 to %s rooms"), kept.lines("from 10,000 to %s kept rows")...), nil
}

// costAt measures on a database of its own, and appends to the panel's curves.
func (l *lab) costAt(ctx context.Context, p *panel, rooms, kept int) error {
	l.say("  %s rooms, %s rows kept", count(rooms), count(kept))
	return l.with(ctx, func(db *database) error {
		if kept > 0 {
			if err := db.keepFor(ctx, kept, rooms); err != nil {
				return err
			}
		}
		rows := l.scales().rows
		for _, relays := range []int{1, 4} {
			d, err := l.drainRelay(ctx, db, work{rows: rows, rooms: rooms, relays: relays})
			if err != nil {
				return err
			}
			p.add(map[int]string{1: "a row drained", 4: "a row drained by 4 relays"}[relays], time.Duration(float64(time.Second)/d.rate))
		}
		box, err := outbox.Open(db.relay, 4)
		if err != nil {
			return err
		}
		defer box.Close()
		a, err := l.askOutbox(ctx, db, box, rooms, 0)
		if err != nil {
			return err
		}
		p.add("a claim", a.claim)
		p.add("a page of history", a.history)
		insert, err := insertIn(ctx, db, rooms)
		if err != nil {
			return err
		}
		p.add("INSERT, triggers included", insert)
		authorized, err := l.authorizedIn(ctx, db, rooms)
		p.add("an authorization", authorized)
		return err
	})
}

// keepFor is keep over connections that end with it: their work is no relay's.
func (db *database) keepFor(ctx context.Context, rows, rooms int) error {
	box, err := outbox.Open(db.relay, 4)
	if err != nil {
		return err
	}
	defer box.Close()
	return db.keep(ctx, box, rows, rooms)
}

// insertIn is the CPU time of one INSERT, relay awake.
func insertIn(ctx context.Context, db *database, rooms int) (time.Duration, error) {
	conn, err := pgx.Connect(ctx, db.owner)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var turns []time.Duration
	for range 6 {
		if err := db.lease(ctx, 50*time.Second); err != nil {
			return 0, err
		}
		turn, _, err := insertTurn(ctx, conn, roomcastTable, 250, rooms)
		if err != nil {
			return 0, err
		}
		turns = append(turns, turn)
	}
	return median(turns[1:]), nil
}

// authorizedIn is the time between two answers of a busy function.
func (l *lab) authorizedIn(ctx context.Context, db *database, rooms int) (time.Duration, error) {
	users, err := db.gather(ctx, l.scales().users, rooms)
	if err != nil {
		return 0, err
	}
	defer users.keys.Close()
	p, err := l.function(ctx, append(users.environment(), "DATABASE_URL="+db.relay)...)
	if err != nil {
		return 0, err
	}
	s := &server{program: p}
	c := comparison{
		rounds: 1, conns: authConns, length: l.scales().asks,
		request: func(i int64) []byte { return users.each[i%int64(len(users.each))] },
	}
	if err := c.run(ctx, s); err != nil {
		return 0, err
	}
	return time.Duration(float64(time.Second) / s.rate()), p.stop()
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
