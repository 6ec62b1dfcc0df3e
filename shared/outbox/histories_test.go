package outbox_test

import (
	"fmt"
	"strings"
	"testing"

	"roomcast/shared/outbox"
)

// Many rooms in one call are what each is alone, in order. Beyond the budget the rest come
// as positions, to be asked for again.
func TestHistories(t *testing.T) {
	c := newChat(t)
	const rooms, size = 40, 1000
	queries := make([]outbox.HistoryQuery, rooms)
	for i := range queries {
		queries[i] = outbox.HistoryQuery{Room: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), UserID: user1, Max: 100}
		for range 2 {
			c.Exec(insertMessage, queries[i].Room, user1, strings.Repeat("x", size))
		}
	}
	c.Exec(`select roomcast.assign_seqs()`)
	pages, err := c.DB.Histories(c.Context(), queries, 1<<20)
	if err != nil || len(pages) != rooms {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for i, page := range pages {
		if page.Head != 2 || page.Last != 2 || len(page.Changes) != 2 || page.Changes[0].Room != queries[i].Room {
			t.Errorf("room %d: %+v", i, page)
		}
	}
	if pages, err = c.DB.Histories(c.Context(), queries, 5*size); err != nil || len(pages) != rooms {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	whole := 0
	for i, page := range pages {
		switch {
		case len(page.Changes) == 2:
			whole++
		case page.Head != 2 || page.Last != 0 || len(page.Changes) != 0:
			t.Errorf("room %d: %+v", i, page)
		}
	}
	if whole < 3 || whole > 12 {
		t.Errorf("%d rooms came whole within the budget of two and a half", whole)
	}
}
