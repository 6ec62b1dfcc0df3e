package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// form says in which form of the suite a fault has its place.
type form int

const (
	both form = iota
	full
	short
)

func (f form) has(isShort bool) bool {
	return f == both || (f == short) == isShort
}

// fault is one way to break things.
type fault struct {
	name string
	form form
	// breaks brings the fault about, lifts it again and returns. Where the fault is
	// one moment, it says by lift that the healing begins there.
	breaks func(ctx context.Context, s *scene) error
	// alone gives the fault a stack of its own, whose Postgres has these settings: it
	// leaves another database behind.
	alone    bool
	settings map[string]string
}

const (
	roomsOfAFault = 12
	writers       = 4
	writePause    = 3 * time.Millisecond
	giveUp        = 90 * time.Second // the wait for messages that do not come
)

// scene is the stack while it suffers one fault: rooms, ledger and writers are new.
type scene struct {
	*stack
	chat    *chat
	ledger  *ledger
	rnd     *rand.Rand
	notes   []string      // for the line below the table
	lifted  time.Time     // when the healing began
	extra   time.Duration // for the work that waits, beyond the healing
	screens *screens      // of the pages that watched, if any did
}

// suffer runs a fault from a system at rest to a system that has healed.
func (s *stack) suffer(ctx context.Context, f fault) (result, error) {
	// Seeded by its name, so that -only repeats what the whole run did.
	rnd := rand.New(rand.NewPCG(s.seed, nameSeed(f.name)))
	rooms := make([]string, roomsOfAFault)
	for i := range rooms {
		rooms[i] = uuid(rnd)
	}
	sc := &scene{stack: s, ledger: newLedger(rooms), rnd: rnd}
	sc.chat = &chat{url: s.ownerURL, rooms: rooms, ledger: sc.ledger, pause: writePause}
	s.listener.Store(sc.ledger)
	defer s.listener.Store(nil)

	err := f.breaks(ctx, sc)
	sc.chat.stop()
	sc.ledger.onAccept(nil)
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	if err != nil {
		sc.ledger.complain("could not be brought about: %v", err)
		if err := sc.repair(ctx); err != nil {
			return result{}, err
		}
	}
	if sc.lifted.IsZero() {
		sc.lift()
	}
	if err := sc.lookUp(ctx); err != nil {
		return result{}, err
	}
	drained := sc.drain(ctx)
	took := time.Since(sc.lifted)
	parked, err := sc.parked(ctx)
	if err != nil {
		return result{}, err
	}
	r := result{fault: f.name, verdict: sc.ledger.judge(parked), seconds: took.Seconds(), notes: sc.notes}
	if sc.screens != nil {
		seen := sc.screens.judge()
		r.seen = &seen
		r.wrong = append(r.wrong, seen.wrong()...)
		sc.note("pages came to %v; %d resets", sc.screens.statuses, sc.screens.resets)
		r.notes = sc.notes
	}
	if limit := s.timing.heal() + sc.extra; !drained || took > limit {
		r.wrong = append(r.wrong, fmt.Sprintf("not drained within %s", limit))
	}
	return r, sc.repair(ctx)
}

// lift notes that the fault is over and the system can heal.
func (s *scene) lift() { s.lifted = time.Now() }

func nameSeed(name string) (n uint64) {
	for _, b := range []byte(name) {
		n = n*31 + uint64(b)
	}
	return n
}

// lookUp asks the database what became of messages whose commit was not answered.
func (s *scene) lookUp(ctx context.Context) error {
	unknowns := s.ledger.unknowns()
	rows, err := s.admin.Query(ctx, `select id::text from messages where id = any ($1::uuid[])`, unknowns)
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	found := map[string]bool{}
	for _, id := range ids {
		found[id] = true
	}
	s.ledger.resolve(found)
	if len(unknowns) > 0 {
		s.note("%d commits without an answer, %d of them had happened", len(unknowns), len(ids))
	}
	return nil
}

// drain waits until Pusher has everything and the database knows it.
func (s *scene) drain(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, giveUp+s.extra)
	defer cancel()
	return pollUntil(ctx, func() bool {
		if s.ledger.missing("") > 0 {
			return false
		}
		waiting, err := ask[bool](ctx, s.stack, `select roomcast.has_waiting()`)
		return err == nil && !waiting
	})
}

// parked reads what was given up in this scene's rooms.
func (s *scene) parked(ctx context.Context) (map[string]map[int64]string, error) {
	rows, err := s.admin.Query(ctx, `
		select k.room, k.seq, o.record::json ->> 'id'
		  from roomcast.parked k join roomcast.outbox o on o.id = k.outbox_id
		 where k.room = any ($1)`, s.chat.rooms)
	if err != nil {
		return nil, fmt.Errorf("parked: %w", err)
	}
	out := map[string]map[int64]string{}
	var room, id string
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&room, &seq, &id}, func() error {
		if out[room] == nil {
			out[room] = map[int64]string{}
		}
		out[room][seq] = id
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("parked: %w", err)
	}
	return out, nil
}

// repair makes everything whole for the next fault.
func (s *scene) repair(ctx context.Context) error {
	s.pusher.Clear()
	s.skew.Store(0)
	s.front.deaf.Store(false)
	if err := s.pusher.Start(); err != nil {
		return err
	}
	for _, r := range s.relays {
		if err := r.thaw(); err != nil {
			return err
		}
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// write starts the writers and waits until so many messages have arrived, so that a
// fault never hits an idle system.
func (s *scene) write(ctx context.Context, arrived int) error {
	s.chat.start(ctx, writers, s.rnd)
	return s.arrive(ctx, arrived)
}

// arrive waits until so many messages have arrived in all.
func (s *scene) arrive(ctx context.Context, n int) error {
	return s.until(ctx, fmt.Sprintf("%d messages", n), func() bool { return s.ledger.accepted() >= n })
}

// until waits for what a fault needs to go on.
func (s *scene) until(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	if !pollUntil(ctx, done) {
		return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
	}
	return nil
}

func (s *scene) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// room is one of the scene's rooms, by chance.
func (s *scene) room() string { return s.chat.rooms[s.rnd.IntN(len(s.chat.rooms))] }

// holder is the relay that holds a room now; nil if none does.
func (s *scene) holder(ctx context.Context, room string) (*relay, error) {
	name, err := ask[string](ctx, s.stack, `select coalesce(max(holder), '') from roomcast.rooms where room = $1`, room)
	if err != nil {
		return nil, err
	}
	name, _, _ = strings.Cut(name, "@")
	pid, _ := strconv.Atoi(name[strings.LastIndexByte(name, ':')+1:]) // "host:pid@place", see functions/place.go
	for _, r := range s.relays {
		if pid != 0 && r.pid() == pid {
			return r, nil
		}
	}
	return nil, nil
}

// ask reads one value as the superuser.
func ask[T any](ctx context.Context, s *stack, sql string, args ...any) (v T, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if err := s.admin.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		return v, fmt.Errorf("ask: %w", err)
	}
	return v, nil
}
