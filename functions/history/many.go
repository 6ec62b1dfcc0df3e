package history

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/web"
)

const (
	// maxRooms is how many rooms one request may ask for.
	maxRooms = 100
	// MaxManyBody bounds its body in bytes.
	MaxManyBody = 64 << 10
	// manyBudget bounds the records of its answer in bytes, as one room's page is bounded.
	manyBudget = 1 << 20
)

// roomQuery is what is asked of one room. Without after or with limit 0 only its head is.
type roomQuery struct {
	After *int64 `json:"after"`
	Epoch string `json:"epoch"`
	Limit *int64 `json:"limit"`
}

// Many handles POST /events: Events of up to 100 rooms at once. The body is
// {"rooms":{"id":{"after":n,"epoch":"…","limit":n}}}, the answer by room what Events would
// answer, or {"status":…,"error":…}. A room whose events do not fit the answer any more
// comes with none, and more: true. Repeats are harmless.
func (h *Handler) Many(w http.ResponseWriter, r *http.Request) error {
	if h.Store == nil {
		return errForwardOnly()
	}
	rooms, queries, err := readMany(w, r)
	if err != nil {
		return err
	}
	asked := time.Now()
	user, refusals, err := h.Authorizer.Readers(r, rooms)
	if err != nil {
		return err
	}
	answer := make(map[string]any, len(rooms))
	readable, err := allowed(answer, rooms, refusals)
	if err != nil {
		return err
	}
	var wanted []outbox.HistoryQuery
	for i := range rooms {
		if refusals[i] == nil {
			queries[i].UserID = user
			wanted = append(wanted, queries[i])
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	found, err := h.Store.Histories(ctx, wanted, manyBudget)
	if err != nil {
		return unreadable(r, err)
	}
	poll := h.poll()
	for i, room := range readable {
		p := h.page(room, found[i])
		p.Poll = poll
		answer[room] = p
	}
	if time.Since(asked) > yesFor && len(readable) > 0 {
		if _, refusals, err = h.Authorizer.Readers(r, readable); err == nil {
			_, err = allowed(answer, readable, refusals)
		}
		if err != nil {
			return err
		}
	}
	return web.WriteJSON(w, http.StatusOK, map[string]any{"rooms": answer})
}

// allowed returns the rooms that were not refused, and answers for the others.
func allowed(answer map[string]any, rooms []string, refusals []error) (readable []string, err error) {
	for i, room := range rooms {
		if refusals[i] == nil {
			readable = append(readable, room)
		} else if answer[room], err = web.PartOf(refusals[i]); err != nil {
			return nil, err
		}
	}
	return readable, nil
}

// readMany reads the body: the rooms' ids and, in their order, what is asked of each.
func readMany(w http.ResponseWriter, r *http.Request) (rooms []string, queries []outbox.HistoryQuery, err error) {
	if err := web.RequireJSON(r); err != nil {
		return nil, nil, err
	}
	body, err := web.Body(w, r, MaxManyBody)
	if err != nil {
		return nil, nil, err
	}
	var asked struct {
		Rooms map[string]roomQuery `json:"rooms"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, nil, web.BadRequest("body", "is not of the form {\"rooms\":{\"id\":{\"after\":0,\"epoch\":\"\",\"limit\":100}}}")
	}
	if n := len(asked.Rooms); n == 0 || n > maxRooms {
		return nil, nil, web.BadRequest("rooms", fmt.Sprintf("must name from 1 to %d rooms", maxRooms))
	}
	for room, q := range asked.Rooms {
		query, err := q.query(room)
		if err != nil {
			return nil, nil, err
		}
		rooms, queries = append(rooms, room), append(queries, query)
	}
	return rooms, queries, nil
}

func (q roomQuery) query(room string) (outbox.HistoryQuery, error) {
	out := outbox.HistoryQuery{Room: event.RoomKey(room), Epoch: q.Epoch}
	if !hasChannel(out.Room) {
		return out, web.BadRequest("rooms", "has a room without a channel: its id is empty or too long")
	}
	if !isEpoch(q.Epoch) {
		return out, web.BadRequest("epoch", "not an epoch of ours")
	}
	limit := int64(defaultLimit)
	if q.Limit != nil {
		limit = *q.Limit
	}
	if q.After != nil {
		out.After = *q.After
	}
	if out.After < 0 || out.After > math.MaxInt64-maxLimit {
		return out, web.BadRequest("after", "must be a whole number, not below 0")
	}
	if limit < 0 || limit > maxLimit {
		return out, web.BadRequest("limit", fmt.Sprintf("must be a whole number from 0 to %d", maxLimit))
	}
	out.Max = int(limit)
	return out, nil
}
