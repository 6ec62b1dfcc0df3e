package outbox_test

import (
	"github.com/jackc/pgx/v5"
)

// author is a writer: a connection, and perhaps a transaction on it.
type author struct {
	conn    *pgx.Conn
	tx      pgx.Tx
	number  int
	written []*message
}

// step begins a transaction, writes in it, or ends it.
func (a *author) step(h *history) {
	if a.tx == nil {
		tx, err := a.conn.Begin(h.Context())
		h.must(err)
		a.tx, a.number, a.written = tx, h.clock, nil
	}
	switch die := h.rnd.IntN(10); {
	case die < 6:
		m := &message{tx: a.number, place: len(a.written), began: h.clock}
		room := h.room()
		h.must(a.tx.QueryRow(h.Context(), `insert into messages (room_id, content) values ($1, 'x') returning id::text`, room).Scan(&m.id))
		a.written = append(a.written, m)
		h.messages[m.id] = m
		h.tell("tx %d writes %.4s in %s", a.number, m.id, room[35:])
	case die < 9:
		a.end(h, true)
	default:
		a.end(h, false)
	}
}

func (a *author) end(h *history, commit bool) {
	if a.tx == nil {
		return
	}
	h.clock++
	if commit {
		h.must(a.tx.Commit(h.Context()))
	} else {
		h.must(a.tx.Rollback(h.Context()))
	}
	for _, m := range a.written {
		m.committed, m.ended = commit, h.clock
	}
	h.tell("tx %d ends, committed: %v", a.number, commit)
	a.tx = nil
}
