package event

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestTranslate(t *testing.T) {
	at := &Position{Seq: 42, Epoch: "k3f9", At: "2026-11-22T20:27:53.116454+00:00"}
	const meta = `"roomcast":{"seq":42,"epoch":"k3f9","at":"2026-11-22T20:27:53.116454+00:00"}`
	const row = `{"id": 9007199254740994, "room_id": "7", "content": "<b> 👋🏽", "n": 2.50}`
	keys := []string{"id", "room_id"}
	for _, tc := range []struct {
		name   string
		change Change
		event  string
		data   string
	}{
		{"message", Change{Kind: Messages, Op: Insert, Record: []byte(row), Keys: keys, Position: at}, NewMessage, row[:len(row)-1] + "," + meta + "}"},
		{"edit", Change{Kind: Messages, Op: Update, Record: []byte(row), Keys: keys, Position: at}, MessageUpdated, row[:len(row)-1] + "," + meta + "}"},
		{"deletion has ids only", Change{Kind: Messages, Op: Delete, Record: []byte(row), Keys: keys, Position: at}, MessageDeleted, `{"id":9007199254740994,"room_id":"7",` + meta + "}"},
		{"joined", Change{Kind: Members, Op: Insert, Record: []byte(row), Position: at}, UserJoined, row[:len(row)-1] + "," + meta + "}"},
		{"left", Change{Kind: Members, Op: Delete, Record: []byte(row), Position: at}, UserLeft, row[:len(row)-1] + "," + meta + "}"},
		{"online", Change{Kind: Online, Op: Insert, Record: []byte(row), Position: at}, UserOnline, row[:len(row)-1] + "," + meta + "}"},
		{"offline", Change{Kind: Online, Op: Delete, Record: []byte(row), Position: at}, UserOffline, row[:len(row)-1] + "," + meta + "}"},
		{"empty record", Change{Kind: Messages, Op: Insert, Record: []byte(` { } `), Position: at}, NewMessage, `{` + meta + `}`},
		{"without a position", Change{Kind: Messages, Op: Insert, Record: []byte(row)}, NewMessage, row},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, ok, err := Translate(tc.change, 0)
			if err != nil || !ok {
				t.Fatalf("ok %v, err %v", ok, err)
			}
			if e.Name != tc.event || string(e.Data) != tc.data || e.Stub {
				t.Errorf("got %s %s\nwant %s %s", e.Name, e.Data, tc.event, tc.data)
			}
			if !json.Valid(e.Data) {
				t.Error("data is not JSON")
			}
		})
	}
}

func TestTranslateRefuses(t *testing.T) {
	for _, tc := range []struct {
		change Change
		want   error
	}{
		{Change{Kind: "profiles", Op: Insert, Record: []byte(`{}`)}, ErrKind},
		{Change{Kind: Messages, Op: "TRUNCATE", Record: []byte(`{}`)}, ErrOp},
		{Change{Kind: Online, Op: Update, Record: []byte(`{}`)}, ErrOp},
		{Change{Kind: Messages, Op: Insert, Record: []byte(`[]`)}, ErrRecord},
		{Change{Kind: Messages, Op: Insert}, ErrRecord},
		{Change{Kind: Messages, Op: Delete, Record: []byte(`null`)}, ErrRecord},
	} {
		if _, _, err := Translate(tc.change, 0); !errors.Is(err, tc.want) {
			t.Errorf("%+v: error %v, want %v", tc.change, err, tc.want)
		}
	}
	if _, ok, err := Translate(Change{Kind: Members, Op: Update, Record: []byte(`{}`)}, 0); ok || err != nil {
		t.Errorf("an edited membership: event %v, err %v; want none", ok, err)
	}
}

func TestTooLargeBecomesAStub(t *testing.T) {
	record, err := json.Marshal(map[string]string{"id": "1", "room_id": "7", "content": strings.Repeat("x", 500)})
	if err != nil {
		t.Fatal(err)
	}
	c := Change{Kind: Messages, Op: Insert, Record: record, Keys: []string{"id", "room_id"}, Position: &Position{Seq: 1, Epoch: "e", At: "t"}}
	e, _, err := Translate(c, 300)
	if want := `{"id":"1","room_id":"7","roomcast":{"seq":1,"epoch":"e","at":"t","stub":true}}`; err != nil || !e.Stub || string(e.Data) != want {
		t.Errorf("stub %v, err %v\n got %s\nwant %s", e.Stub, err, e.Data, want)
	}
	whole, _, err := Translate(c, len(record)+100)
	if err != nil || whole.Stub {
		t.Errorf("an event that fits became a stub (err %v)", err)
	}
}

func BenchmarkTranslate(b *testing.B) {
	c := Change{Kind: Messages, Op: Insert, Record: []byte(`{"id": "5e599a19-1d26-476a-841a-1b2ed9586a78", "content": "a message of usual length, more or less", "room_id": "11111111-1111-4111-8111-111111111110", "user_id": null, "created_at": "2026-11-22T21:58:39.714466+00:00"}`),
		Position: &Position{Seq: 42, Epoch: "k3f9", At: "2026-11-22T20:27:53.116454+00:00"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Translate(c, 9999); err != nil {
			b.Fatal(err)
		}
	}
}
