package main

import (
	"fmt"
	"slices"
	"testing"
)

const testRoom = "aaaaaaaa-0000-4000-8000-000000000001"

// page is a ledger with five committed messages a to e, one transaction each, which
// end one after another.
func page() *ledger {
	l := newLedger([]string{testRoom})
	for i, id := range []string{"a", "b", "c", "d", "e"} {
		l.end([]*entry{l.begin(entry{id: id, room: testRoom, tx: i})}, written)
	}
	return l
}

func (l *ledger) deliver(seqs string, ids string) {
	for i := range seqs {
		l.accept(testRoom, data(string(ids[i]), int(seqs[i]-'0'), "x"))
	}
}

func data(id string, seq int, epoch string) string {
	return fmt.Sprintf(`{"id":%q,"roomcast":{"seq":%d,"epoch":%q}}`, id, seq, epoch)
}

func TestAllIsWell(t *testing.T) {
	l := page()
	l.deliver("112345", "aabcde")
	got := l.judge(nil)
	if got.messages != 5 || got.lost != 0 || got.repeated != 1 || got.outOfOrder != 0 || len(got.wrong) != 0 {
		t.Errorf("%+v", got)
	}
}

// The control: a relay that breaks a promise is found out, whichever it breaks.
func TestBrokenRelaysAreFoundOut(t *testing.T) {
	for name, tc := range map[string]struct {
		relay            func(*ledger)
		parked           map[int64]string
		lost, outOfOrder int
		wrong            int
	}{
		"loses the last":              {relay: func(l *ledger) { l.deliver("1234", "abcd") }, lost: 1},
		"loses one and numbers on":    {relay: func(l *ledger) { l.deliver("1234", "abde") }, lost: 1},
		"loses one of the middle":     {relay: func(l *ledger) { l.deliver("1245", "abde") }, lost: 1, outOfOrder: 2},
		"sends nothing":               {relay: func(*ledger) {}, lost: 5},
		"sends two the wrong way":     {relay: func(l *ledger) { l.deliver("13245", "acbde") }, outOfOrder: 3},
		"numbers against the commits": {relay: func(l *ledger) { l.deliver("12345", "acbde") }, outOfOrder: 1},
		"leaves a number out":         {relay: func(l *ledger) { l.deliver("12356", "abcde") }, outOfOrder: 2},
		"parks what is good":          {relay: func(l *ledger) { l.deliver("1245", "abde") }, parked: map[int64]string{3: "c"}, wrong: 1},
		"repeats with other data":     {relay: func(l *ledger) { l.deliver("123453", "abcded") }, wrong: 1},
		"sends one under two numbers": {relay: func(l *ledger) { l.deliver("123456", "abcdee") }, outOfOrder: 1, wrong: 1},
		"invents a message":           {relay: func(l *ledger) { l.deliver("123456", "abcdez") }, wrong: 1},
		"starts the numbering over":   {relay: func(l *ledger) { l.deliver("1234", "abcd"); l.accept(testRoom, data("e", 5, "y")) }, wrong: 1},
		"sends what was rolled back":  {relay: func(l *ledger) { l.end([]*entry{l.entries["e"]}, undone); l.deliver("12345", "abcde") }, wrong: 1},
		"turns a transaction around": {relay: func(l *ledger) {
			l.entries["c"].tx, l.entries["c"].place, l.entries["d"].tx = 7, 1, 7
			l.deliver("12345", "abcde")
		}, outOfOrder: 1},
		"delivers poison to nobody":     {relay: func(l *ledger) { l.entries["c"].poison = true; l.deliver("1245", "abde") }, lost: 1, outOfOrder: 2},
		"sends something else entirely": {relay: func(l *ledger) { l.deliver("12345", "abcde"); l.accept(testRoom, "<html>") }, wrong: 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := page()
			tc.relay(l)
			got := l.judge(map[string]map[int64]string{testRoom: tc.parked})
			if got.lost != tc.lost || got.outOfOrder != tc.outOfOrder || len(got.wrong) != tc.wrong {
				t.Errorf("lost %d, out of order %d, wrong %q; want %d, %d, %d", got.lost, got.outOfOrder, got.wrong, tc.lost, tc.outOfOrder, tc.wrong)
			}
			if (result{verdict: got}).kept() {
				t.Error("the run would have passed")
			}
		})
	}
}

// What was refused by Pusher and parked, and what was never committed, is no loss.
func TestNoFalseAlarm(t *testing.T) {
	l := page()
	l.entries["c"].poison = true
	l.end([]*entry{l.entries["e"]}, unknown)
	l.deliver("124", "abd")
	if ids := l.unknowns(); !slices.Equal(ids, []string{"e"}) {
		t.Errorf("unknown are %q", ids)
	}
	l.resolve(nil)
	got := l.judge(map[string]map[int64]string{testRoom: {3: "c"}})
	if !(result{verdict: got}).kept() || got.messages != 4 || got.parked != 1 {
		t.Errorf("%+v", got)
	}
}

// A message whose commit got no answer counts once the database has it.
func TestUnknownButCommittedIsMissed(t *testing.T) {
	l := page()
	l.end([]*entry{l.entries["e"]}, unknown)
	l.deliver("1234", "abcd")
	l.resolve(map[string]bool{"e": true})
	if got := l.judge(nil); got.lost != 1 {
		t.Errorf("%+v", got)
	}
	if n := l.missing(""); n != 1 {
		t.Errorf("%d are missing", n)
	}
}

func TestTheWholeTableIsNamedApart(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range allFaults() {
		if seen[f.name] || f.breaks == nil {
			t.Errorf("%q stands twice, or does nothing", f.name)
		}
		seen[f.name] = true
	}
}

// After a restore the rows that were kept may come once more, under numbers of a new
// epoch; those that were taken back are nobody's loss.
func TestRestored(t *testing.T) {
	for name, tc := range map[string]struct {
		after            func(*ledger)
		lost, outOfOrder int
		again, wrong     int
	}{
		"again, and on":             {after: func(l *ledger) { l.epoch("1234", "abcf") }, again: 3},
		"on with the numbers":       {after: func(l *ledger) { l.epoch("4", "f") }},
		"loses what came after":     {after: func(l *ledger) { l.epoch("123", "abc") }, again: 3, lost: 1},
		"keeps the epoch":           {after: func(l *ledger) { l.deliver("4", "f") }, lost: 1, wrong: 1},
		"again and again":           {after: func(l *ledger) { l.epoch("123456", "abcfab") }, again: 3, outOfOrder: 3, wrong: 2},
		"out of order":              {after: func(l *ledger) { l.epoch("1243", "abfc") }, again: 3, outOfOrder: 2},
		"a number is left out":      {after: func(l *ledger) { l.epoch("1235", "abcf") }, again: 3, outOfOrder: 2},
		"goes back to the old ones": {after: func(l *ledger) { l.epoch("1", "a"); l.deliver("4", "f") }, again: 1, wrong: 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := page()
			l.deliver("12345", "abcde")
			if n := l.restored(map[string]bool{"a": true, "b": true, "c": true}); n != 2 {
				t.Errorf("%d taken back", n)
			}
			l.end([]*entry{l.begin(entry{id: "f", room: testRoom, tx: 9})}, written)
			tc.after(l)
			got := l.judge(nil)
			if got.messages != 4 || got.lost != tc.lost || got.outOfOrder != tc.outOfOrder || got.again != tc.again || len(got.wrong) != tc.wrong {
				t.Errorf("%+v", got)
			}
		})
	}
}

// epoch delivers in another epoch.
func (l *ledger) epoch(seqs, ids string) {
	for i := range seqs {
		l.accept(testRoom, data(string(ids[i]), int(seqs[i]-'0'), "y"))
	}
}
