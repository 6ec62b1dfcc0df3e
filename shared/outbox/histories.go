package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The rooms asked for in one round trip: few at first, and more while their pages are
// small, so that what is read beyond the budget is bounded.
const (
	firstRooms = 4
	smallPages = 64 << 10 // bytes
)

// Histories is [DB.History] for many rooms, in their order, in few round trips. Once the
// records of the pages pass budget bytes, the others come without any: where each room
// stands, and Last before Head.
func (db *DB) Histories(ctx context.Context, queries []HistoryQuery, budget int) ([]History, error) {
	pages := make([]History, 0, len(queries))
	for size := firstRooms; len(pages) < len(queries); {
		next := queries[len(pages):min(len(queries), len(pages)+size)]
		if budget <= 0 {
			next = positionsOnly(queries[len(pages):])
		}
		some, bytes, err := db.historiesTogether(ctx, next)
		if err != nil {
			return nil, err
		}
		pages = append(pages, some...)
		if budget -= bytes; bytes < smallPages {
			size *= 2
		}
	}
	return pages, nil
}

func positionsOnly(queries []HistoryQuery) []HistoryQuery {
	out := make([]HistoryQuery, len(queries))
	for i, q := range queries {
		out[i] = q
		out[i].Max = 0
	}
	return out
}

// historiesTogether reads pages in one round trip, and counts the bytes of their records.
func (db *DB) historiesTogether(ctx context.Context, queries []HistoryQuery) (pages []History, bytes int, err error) {
	batch := &pgx.Batch{}
	for _, q := range queries {
		batch.Queue(historySQL, q.Room, q.After, q.Max, q.UserID, q.Epoch)
	}
	results, err := db.send(ctx, batch)
	if err != nil {
		return nil, 0, fmt.Errorf("histories: %w", err)
	}
	defer results.Close()
	for _, q := range queries {
		page := History{First: 1, Reset: q.After > 0} // of a room nobody has numbered anything in
		rows, err := results.Query()
		if err != nil {
			return nil, 0, fmt.Errorf("histories: %w", err)
		}
		for rows.Next() {
			if err := page.add(q, rows.RawValues()); err != nil {
				return nil, 0, fmt.Errorf("histories: %w", err)
			}
		}
		if err := rows.Err(); err != nil {
			return nil, 0, fmt.Errorf("histories: %w", err)
		}
		for _, c := range page.Changes {
			bytes += len(c.Record) + len(c.Old)
		}
		pages = append(pages, page)
	}
	return pages, bytes, nil
}
