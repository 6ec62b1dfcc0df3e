package main

import (
	"encoding/json"
	"strings"
	"testing"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
)

// The command tells how messages came, and by its exit status whether too many were late.
func TestDelivery(t *testing.T) {
	p := newInstallation(t)
	code, out, problems := p.ops("delivery")
	if code != exitOK || !strings.HasPrefix(out, "No page has told of a message") {
		t.Errorf("exit %d: %s%s", code, out, problems)
	}
	const user = "11111111-0000-4000-8000-000000000001"
	note := func(n int64, d audit.Delivered) {
		t.Helper()
		if outcome, err := (audit.Store{DB: p.outbox()}).NoteDelivery(t.Context(), user, user, n, d); err != nil || outcome != audit.ReceiptNoted {
			t.Fatal(outcome, err)
		}
	}
	note(1, audit.Delivered{Pushed: 40, Gap: 2, Delays: []int64{0, 0, 42}})
	if code, out, _ = p.ops("delivery", "-hours", "48"); code != exitOK || !strings.HasPrefix(out, "Messages arrive") {
		t.Errorf("exit %d: %s", code, out)
	}
	late := make([]int64, parity.Buckets)
	late[parity.Buckets-1] = 3
	note(2, audit.Delivered{Polled: 3, Delays: late})
	code, out, _ = p.ops("delivery", "-json")
	var report parity.DeliveryReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitWarning || report.Total.Late != 3 || report.Total.Messages != 45 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, _, _ = p.ops("delivery", "-hours", "0"); code != exitFailed {
		t.Errorf("no hours: exit %d", code)
	}
}
