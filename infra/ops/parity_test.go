package main

import (
	"encoding/json"
	"strings"
	"testing"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
)

// The command reports what the parity report says, also by its exit status.
func TestParity(t *testing.T) {
	p := newInstallation(t)
	const room = "aaaaaaaa-0000-4000-8000-000000000001"
	p.write(room, 3)
	note := func(n int64, seen audit.Seen) {
		t.Helper()
		_, err := audit.Store{DB: p.outbox()}.NoteReceipt(t.Context(), audit.Receipt{UserID: room, Page: room, Room: room, N: n, Seen: seen})
		if err != nil {
			t.Fatal(err)
		}
	}
	delays := []int64{0, 0, 9}
	note(1, audit.Seen{Both: 9, OnlyPusher: 1, PusherDelays: delays, SupabaseDelays: delays})
	const limits = "hours=24&min_hours=1&min_messages=3&min_page_hours=1&max_share=1"
	code, out, problems := p.ops("parity", limits)
	if code != exitOK || !strings.HasPrefix(out, "SAFE TO CUT OVER") {
		t.Errorf("exit %d: %s%s", code, out, problems)
	}
	note(2, audit.Seen{OnlySupabase: 2})
	code, out, _ = p.ops("parity", limits, "-json")
	var report parity.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitWarning || report.Verdict.Safe || report.OnlySupabase != 2 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, _, problems = p.ops("parity", "min_mesages=1"); code != exitFailed || !strings.Contains(problems, "min_mesages") {
		t.Errorf("a misspelt limit: exit %d: %s", code, problems)
	}
}
