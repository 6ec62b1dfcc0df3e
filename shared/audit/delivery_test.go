package audit_test

import (
	"fmt"
	"testing"
	"time"

	"roomcast/shared/audit"
)

// Delivery receipts add up by hour, repeats change nothing, and one user counts for no
// more than a bounded part.
func TestDelivery(t *testing.T) {
	c := newChat(t)
	note := func(user, page string, n int64, pushed int64) string {
		t.Helper()
		outcome, err := c.store().NoteDelivery(c.Context(), user, page, n, audit.Delivered{Pushed: pushed, Gap: 1, LateGap: 1, Void: 2, Window: 4, Delays: []int64{0, pushed}})
		if err != nil {
			t.Fatal(err)
		}
		return outcome
	}
	page := func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }
	for _, tc := range []struct {
		user, page string
		n, pushed  int64
		want       string
	}{
		{user1, page(1), 1, 10, audit.ReceiptNoted},
		{user1, page(1), 1, 10, audit.ReceiptRepeat},
		{user1, page(1), 2, 20, audit.ReceiptNoted},
		{user2, page(1), 1, 5, audit.ReceiptNoted},
		{user1, page(1), 1000, 5, audit.ReceiptEarly},
		{user1, page(2), 1, 5000, audit.ReceiptMany},
	} {
		if got := note(tc.user, tc.page, tc.n, tc.pushed); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
	for _, d := range []audit.Delivered{{Missing: 5000}, {Void: 5000}, {Window: 5000}} {
		if got, err := c.store().NoteDelivery(c.Context(), user1, page(3), 1, d); err != nil || got != audit.ReceiptMany {
			t.Errorf("%+v by one user's word: %s, %v", d, got, err)
		}
	}
	d, err := c.store().Deliveries(c.Context(), time.Now().Add(-time.Hour))
	if err != nil || d.Users != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	var sum audit.Delivered
	for _, hour := range d.Hours {
		sum = sum.Plus(hour.Delivered)
	}
	if sum.Pushed != 35 || sum.Gap != 3 || sum.LateGap != 3 || sum.Void != 6 || sum.Window != 12 {
		t.Errorf("%+v", d.Hours)
	}
	for i := range 25 {
		if got := note(user2, page(100+i), 1, 1); i >= 20 && got != audit.ReceiptMany {
			t.Errorf("page %d of one user: %s", i, got)
		}
	}
	c.Exec(`update roomcast.delivery_pages set at = at - interval '3 days'`)
	c.Exec(`insert into roomcast.delivery (hour) values (date_trunc('hour', now() - interval '40 days', 'UTC'))`)
	c.Exec(`select roomcast.clean_delivery(1000)`)
	if n := one[int](c, `select (select count(*) from roomcast.delivery_pages) + (select count(*) from roomcast.delivery where hour < now() - interval '30 days')`); n != 0 {
		t.Errorf("%d old rows are kept", n)
	}
}
