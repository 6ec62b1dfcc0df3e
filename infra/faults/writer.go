package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/backoff"
)

// What writers write besides short messages.
const (
	poisonSize = maxData + 500 // the relay takes it, the emulator refuses it
	largeSize  = 15_000        // no Pusher takes it: goes as a stub
)

// chat is the people who write: several connections, each one transaction after
// another, with what happens in life: rollbacks, transactions that take their time,
// connections that break.
type chat struct {
	url    string
	rooms  []string
	ledger *ledger
	pause  time.Duration // between two transactions of a writer, on average
	poison bool          // now and then a message is one that Pusher refuses

	stopWriting context.CancelFunc
	writers     sync.WaitGroup
}

// start begins to write with n connections.
func (c *chat) start(ctx context.Context, n int, rnd *rand.Rand) {
	ctx, c.stopWriting = context.WithCancel(ctx)
	for range n {
		w := &writer{chat: c, rnd: rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))}
		c.writers.Go(func() { w.write(ctx) })
	}
}

// stop ends the writing. Every message's fate is in the ledger afterwards.
func (c *chat) stop() {
	if c.stopWriting != nil {
		c.stopWriting()
		c.writers.Wait()
	}
}

type writer struct {
	*chat
	rnd  *rand.Rand
	conn *pgx.Conn
}

// write goes on until ctx ends; the transaction under way is finished.
func (w *writer) write(ctx context.Context) {
	defer func() {
		if w.conn != nil {
			_ = w.conn.Close(context.Background())
		}
	}()
	for ctx.Err() == nil {
		if w.conn == nil || w.conn.IsClosed() {
			conn, err := pgx.Connect(ctx, w.url)
			if err != nil {
				backoff.Sleep(ctx, 50*time.Millisecond) // Postgres is being broken
				continue
			}
			w.conn = conn
		}
		w.transaction(context.WithoutCancel(ctx))
		backoff.Sleep(ctx, time.Duration(w.rnd.Int64N(int64(2*w.pause))))
	}
}

// writeLimit bounds one statement: nothing the relay does may hold up the chat, and
// a Postgres that is being broken must not hold up us.
const writeLimit = 10 * time.Second

// transaction writes one or a few messages, and commits or not.
func (w *writer) transaction(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	tx := w.ledger.transaction()
	die := w.rnd.IntN(100)
	if die < 70 {
		e := w.message(tx, 0)
		_, err := w.conn.Exec(ctx, insertSQL, e.id, e.room, w.text(e))
		w.ledger.end([]*entry{e}, fateOf(err))
		return
	}
	began, err := w.conn.Begin(ctx)
	if err != nil {
		return
	}
	var written []*entry
	for i := range 1 + w.rnd.IntN(9) {
		e := w.message(tx, i)
		written = append(written, e)
		if _, err = began.Exec(ctx, insertSQL, e.id, e.room, w.text(e)); err != nil {
			break
		}
	}
	if die >= 95 { // its low ids become visible after many higher ones
		backoff.Sleep(ctx, time.Duration(w.rnd.Int64N(int64(300*time.Millisecond))))
	}
	if err != nil || die < 80 {
		_ = began.Rollback(ctx)
		w.ledger.end(written, undone)
		return
	}
	w.ledger.end(written, fateOf(began.Commit(ctx)))
}

const insertSQL = `insert into messages (id, room_id, content) values ($1, $2, $3)`

// fateOf reads the answer to a commit. Only a plain error of the statement says that
// nothing was committed; a connection that ends says nothing.
func fateOf(err error) state {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return written
	case errors.As(err, &pg) && pg.Severity == "ERROR":
		return undone
	}
	return unknown
}

// message begins an entry in a random room.
func (w *writer) message(tx, place int) *entry {
	return w.ledger.begin(entry{
		id: uuid(w.rnd), room: w.rooms[w.rnd.IntN(len(w.rooms))], tx: tx, place: place,
		poison: w.poison && w.rnd.IntN(100) == 0,
	})
}

func (w *writer) text(e *entry) string {
	switch {
	case e.poison:
		return strings.Repeat("x", poisonSize)
	case w.rnd.IntN(200) == 0:
		return strings.Repeat("long ", largeSize/5)
	}
	return "message in transaction " + fmt.Sprint(e.tx)
}

// uuid makes a version 4 uuid of the run's own randomness.
func uuid(rnd *rand.Rand) string {
	a, b := rnd.Uint64(), rnd.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}

// fill writes n messages of size bytes as fast as it can, spread over the rooms.
func (c *chat) fill(ctx context.Context, n, size int, rnd *rand.Rand) error {
	conn, err := pgx.Connect(ctx, c.url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	const perTransaction = 1000
	for done := 0; done < n; done += perTransaction {
		tx := c.ledger.transaction()
		var entries []*entry
		var ids, rooms []string
		for i := range min(perTransaction, n-done) {
			e := c.ledger.begin(entry{id: uuid(rnd), room: c.rooms[rnd.IntN(len(c.rooms))], tx: tx, place: i})
			entries, ids, rooms = append(entries, e), append(ids, e.id), append(rooms, e.room)
		}
		_, err := conn.Exec(ctx, `
			insert into messages (id, room_id, content)
			select id::uuid, room::uuid, repeat('x', $3) from unnest($1::text[], $2::text[]) as t (id, room)`, ids, rooms, size)
		c.ledger.end(entries, fateOf(err))
		if err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}
