package outbox_test

import (
	"errors"

	"roomcast/shared/admin"
)

// expire lets the time of a lease or a rest pass.
func (h *history) expire(room string) {
	h.Exec(`update roomcast.rooms set due = clock_timestamp(), attention = case when head_seq > sent_seq then clock_timestamp() end where room = $1`, room)
	h.rooms[room].held = false
	h.tell("%s is due", room[35:])
}

// redrive has an operator send again what was passed, parked or not.
func (h *history) redrive(room string) {
	m := h.rooms[room]
	list, err := h.operator.SentAgain(h.Context(), room, 1, m.passed+10)
	h.must(err)
	if len(list) != int(m.passed) {
		h.Fatalf("room %s: %d events to send again, want %d", room, len(list), m.passed)
	}
	var unpark []int64
	for i, s := range list {
		if s.Seq != int64(i+1) || (s.Parked != "") != m.parked[s.Seq] {
			h.Fatalf("room %s: seq %d to send again at %d, parked: %q", room, s.Seq, i, s.Parked)
		}
		h.numbered(room, s.Seq, idOf(h, s.Change.Record))
		m.sent[s.Seq] = true
		if m.parked[s.Seq] {
			delete(m.parked, s.Seq)
			unpark = append(unpark, s.Seq)
		}
	}
	h.must(h.operator.Unpark(h.Context(), room, unpark))
	h.tell("%s redriven to %d", room[35:], m.passed)
}

// skip has an operator skip what stands first, if anything is numbered and waits.
func (h *history) skip(room string) {
	m := h.rooms[room]
	if err := h.operator.Skip(h.Context(), room, m.passed+2, "hurry"); !errors.Is(err, admin.ErrRefused) {
		h.Fatalf("room %s: skipping the second was not refused: %v", room, err)
	}
	waits := one[bool](h.chat, `select exists (select from roomcast.rooms where room = $1 and head_seq > sent_seq)`, room)
	err := h.operator.Skip(h.Context(), room, m.passed+1, "hurry")
	if waits != (err == nil) || err != nil && !errors.Is(err, admin.ErrRefused) {
		h.Fatalf("room %s: something waits: %v, skip: %v", room, waits, err)
	}
	if waits {
		m.passed++
		m.parked[m.passed] = true
		m.fence++
		m.held = false
		h.tell("%s skips %d", room[35:], m.passed)
	}
}
