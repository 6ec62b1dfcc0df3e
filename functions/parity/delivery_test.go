package parity_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
)

func deliveryReceipt(until time.Time, more string) string {
	return fmt.Sprintf(`{"page":%q,"n":2,"mode":"delivery","until":%d,"pushed":5,"gap":1,"polled":2,"delays":[0,3,5]%s}`, page, until.UnixMilli(), more)
}

// A page tells how messages came, of itself and no room; a clock that is off costs its
// delays, not its counts.
func TestDeliveryIsNoted(t *testing.T) {
	store := &fake{outcome: audit.ReceiptNoted}
	if status, _, body := post(t, serve(t, store), "member", deliveryReceipt(now, "")); status != 200 || !strings.Contains(body, `"every":60`) {
		t.Errorf("%d %s", status, body)
	}
	post(t, serve(t, store), "member", deliveryReceipt(now.Add(-time.Hour), ""))
	late := `,"latePushed":1,"latePolled":2,"void":3,"missing":4,"window":5,"delays":[` + strings.Repeat("0,", 25) + "3]"
	post(t, serve(t, store), "member", deliveryReceipt(now, late))
	post(t, serve(t, store), "member", deliveryReceipt(now, `,"latePushed":3`)) // more than its delays say
	post(t, serve(t, store), "member", deliveryReceipt(now, `,"window":900000`))
	counts := audit.Delivered{Pushed: 5, Gap: 1, Polled: 2, Delays: []int64{0, 3, 5}}
	skewed := audit.Delivered{Pushed: 5, Gap: 1, Polled: 2, Skewed: 1}
	causes := audit.Delivered{Pushed: 5, Gap: 1, Polled: 2, LatePushed: 1, LatePolled: 2, Void: 3, Missing: 4, Window: 5, Delays: append(make([]int64, 25), 3)}
	away := counts
	away.Window = 1000
	if diff := cmp.Diff([]told{{user, page, 2, counts}, {user, page, 2, skewed}, {user, page, 2, causes}, {user, page, 2, skewed}, {user, page, 2, away}}, store.told); diff != "" {
		t.Errorf("noted (-want +got):\n%s", diff)
	}
	for _, tc := range []struct {
		token, body string
		status      int
		field       string
	}{
		{"stranger", deliveryReceipt(now, ""), 401, "Authorization"},
		{"member", strings.Replace(deliveryReceipt(now, ""), page, "not a uuid", 1), 400, "page"},
		{"member", strings.Replace(deliveryReceipt(now, ""), `"n":2`, `"n":0`, 1), 400, "n"},
		{"member", deliveryReceipt(now, `,"missing":-1`), 400, "missing"},
		{"member", deliveryReceipt(now, `,"lateGap":-1`), 400, "lateGap"},
		{"member", deliveryReceipt(now, `,"pushed":10000000`), 400, "pushed"},
		{"member", deliveryReceipt(now, `,"delays":[`+strings.Repeat("0,", 40)+`0]`), 400, "delays"},
		{"member", deliveryReceipt(now, `,"pushed":"x"`), 400, "body"},
	} {
		status, _, body := post(t, serve(t, store), tc.token, tc.body)
		var got struct{ Field string }
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != tc.status || got.Field != tc.field {
			t.Errorf("%.100s: %d %s, want %d naming %s", tc.body, status, body, tc.status, tc.field)
		}
	}
	if len(store.told) != 5 {
		t.Errorf("%d receipts were noted", len(store.told))
	}
}

// The report of delivery: by hour, how messages came and how late; and GET /parity becomes
// it when the dual run is over.
func TestDeliveryReport(t *testing.T) {
	delays := around(1000, 80, 1.5)
	late := append([]int64(nil), delays...)
	late[26] = 30
	store := &fake{findings: clean(), deliveries: audit.Deliveries{At: now, Users: 7, Hours: []audit.DeliveredHour{
		{Hour: now.Truncate(time.Hour).Add(-time.Hour), Receipts: 4, Delivered: audit.Delivered{Pushed: 990, Gap: 10, Delays: delays}},
		{Hour: now.Truncate(time.Hour), Receipts: 5, Delivered: audit.Delivered{Pushed: 900, Reconnect: 50, Polled: 80, LatePolled: 28, LatePushed: 2, Missing: 1, Void: 7, Delays: late}},
	}}}
	get := func(query string) string {
		t.Helper()
		status, _, body := do(t, "GET", serve(t, store)+query, "", map[string]string{"Authorization": "Bearer " + secret})
		if status != 200 {
			t.Fatalf("%s: %d %s", query, status, body)
		}
		return body
	}
	var r parity.DeliveryReport
	if err := json.Unmarshal([]byte(get("?format=json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.ByHour) != 2 || r.Users != 7 || r.Receipts != 9 || r.Total.Messages != 2030 || r.Total.Late != 30 || r.Total.Missing != 1 || r.ByHour[0].Late != 0 {
		t.Errorf("%+v", r)
	}
	if p50 := r.ByHour[0].Delay.P50; p50 < 60 || p50 > 110 {
		t.Errorf("p50 %v ms, want about 80", p50)
	}
	text := get("?format=text")
	for _, want := range []string{"Messages come late", "reconnect", "\n28 late and polled", "\n2 late and pushed", "\n1 numbers missing", "\n7 numbers void"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	store.deliveries.Hours[1].Missing = 100
	if text := get("?format=text"); !strings.Contains(text, "Messages do not come") {
		t.Error(text)
	}
	store.deliveries.Hours[1].Missing = 1
	if html := get("?format=html"); !strings.Contains(html, "<h1 class=\"no\">Messages come late</h1>") {
		t.Error(html)
	}
	store.deliveries.Hours = store.deliveries.Hours[:1]
	if text := get("?format=text&report=delivery"); !strings.Contains(text, "Messages arrive") {
		t.Error(text)
	}
	if text := get("?format=text&report=parity"); !strings.Contains(text, "NOT YET") {
		t.Error(text)
	}
	store.parity = week().parity
	if text := get("?format=text"); !strings.Contains(text, "SAFE TO CUT OVER") {
		t.Errorf("while the dual run goes on: %s", text)
	}
}
