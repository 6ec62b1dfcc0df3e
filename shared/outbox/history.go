package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"roomcast/shared/event"
)

// HistoryQuery asks for a page of a room's events, as one user may read them.
type HistoryQuery struct {
	Room   string
	UserID string // a uuid; roomcast.readable_since says how far back it may look
	After  int64  // the last seq the caller has; 0 for none
	Epoch  string // the epoch that After belongs to; empty if not known
	Max    int    // at most this many seqs; 0 asks only where the room stands
}

// History is a page of a room's events, and where the room stands.
type History struct {
	Epoch string // empty for a room that never had an event
	Head  int64  // the last seq given
	Sent  int64  // all up to here was accepted by Pusher, or parked
	First int64  // the first seq still kept and readable; Head+1 if none is
	// Reset: nothing continues from After, because it is older than what is kept or
	// readable, or of another epoch, or beyond the head. The page begins at First.
	Reset bool
	// Last is how far the page reaches: up to here nothing more is to come. It passes
	// over the seqs of rows that were deleted by hand.
	Last    int64
	Changes []event.Change // in order of their positions
}

const historySQL = `select epoch, head, sent, first, reset, seq, at, kind, name, op, keys, record, old, stub
  from roomcast.history($1, $2::bigint, $3::int, roomcast.readable_from($1, $4::uuid), $5)`

// History returns the numbered events after a seq, sent or not, in order: at most
// q.Max, fewer when they would pass a megabyte in all, at least one where there is
// one. An unknown room is an empty page.
func (db *DB) History(ctx context.Context, q HistoryQuery) (History, error) {
	rows, err := db.Query(ctx, historySQL, q.Room, q.After, q.Max, q.UserID, q.Epoch)
	if err != nil {
		return History{}, fmt.Errorf("history: %w", err)
	}
	defer rows.Close()
	page := History{First: 1, Reset: q.After > 0} // of a room nobody has numbered anything in
	for rows.Next() {
		if err := page.add(q, rows.RawValues()); err != nil {
			return History{}, fmt.Errorf("history: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return History{}, fmt.Errorf("history: %w", err)
	}
	return page, nil
}

// add reads one row, all of it text (see Open). The first says where the room stands.
func (h *History) add(q HistoryQuery, v [][]byte) error {
	if h.Epoch == "" {
		if err := h.stand(q, v); err != nil {
			return err
		}
	}
	if v[5] == nil { // an empty page
		return nil
	}
	seq, err := strconv.ParseInt(string(v[5]), 10, 64)
	if err != nil {
		return fmt.Errorf("seq: %w", err)
	}
	h.Last = seq
	if v[9] == nil { // deleted by hand
		return nil
	}
	h.Changes = append(h.Changes, event.Change{
		Kind:     event.Kind(v[7]),
		Name:     string(v[8]),
		Op:       event.Op(v[9]),
		Room:     q.Room,
		Record:   json.RawMessage(string(v[11])), // a copy: v is pgx's own buffer
		Old:      json.RawMessage(bytes.Clone(v[12])),
		Stub:     string(v[13]) == "t",
		Keys:     parseArray(string(v[10])),
		Position: &event.Position{Seq: seq, Epoch: h.Epoch, At: string(v[6])},
	})
	return nil
}

func (h *History) stand(q HistoryQuery, v [][]byte) error {
	h.Epoch, h.Reset = string(v[0]), string(v[4]) == "t"
	for i, to := range map[int]*int64{1: &h.Head, 2: &h.Sent, 3: &h.First} {
		n, err := strconv.ParseInt(string(v[i]), 10, 64)
		if err != nil {
			return fmt.Errorf("room: %w", err)
		}
		*to = n
	}
	h.Last = q.After
	if h.Reset {
		h.Last = h.First - 1
	}
	return nil
}
