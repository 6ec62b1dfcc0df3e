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
		{"message", Change{Kind: Rows, Op: Insert, Record: []byte(row), Keys: keys, Position: at}, NewMessage, row[:len(row)-1] + "," + meta + "}"},
		{"edit", Change{Kind: Rows, Op: Update, Record: []byte(row), Keys: keys, Position: at}, MessageUpdated, row[:len(row)-1] + "," + meta + "}"},
		{"deletion has ids only", Change{Kind: Rows, Op: Delete, Record: []byte(row), Keys: keys, Position: at}, MessageDeleted, `{"id":9007199254740994,"room_id":"7",` + meta + "}"},
		{"another table", Change{Kind: Rows, Name: "reaction", Op: Insert, Record: []byte(row), Keys: keys, Position: at}, "new-reaction", row[:len(row)-1] + "," + meta + "}"},
		{"its edit", Change{Kind: Rows, Name: "reaction", Op: Update, Record: []byte(row), Keys: keys, Position: at}, "reaction-updated", row[:len(row)-1] + "," + meta + "}"},
		{"its deletion", Change{Kind: Rows, Name: "reaction", Op: Delete, Record: []byte(row), Keys: keys, Position: at}, "reaction-deleted", `{"id":9007199254740994,"room_id":"7",` + meta + "}"},
		{"former values", Change{Kind: Rows, Name: "contact", Op: Delete, Record: []byte(row), Old: []byte(`{"status": "<asked>"}`), Keys: keys[:1], Position: at},
			"contact-deleted", `{"id":9007199254740994,` + meta[:len(meta)-1] + `,"old":{"status": "<asked>"}}}`},
		{"sent from SQL", Change{Op: Send, Name: "poll-closed", Record: []byte(`{"id":7}`), Position: at}, "poll-closed", `{"id":7,` + meta + "}"},
		{"many at once", Change{Kind: Rows, Name: "message", Op: Bulk, Record: []byte(`{"name":"message","op":"DELETE","count":500}`), Position: at},
			BulkChange, `{"name":"message","op":"DELETE","count":500,` + meta + "}"},
		{"membership edited", Change{Kind: Members, Op: Update, Record: []byte(row), Position: at}, UserUpdated, row[:len(row)-1] + "," + meta + "}"},
		{"joined", Change{Kind: Members, Op: Insert, Record: []byte(row), Position: at}, UserJoined, row[:len(row)-1] + "," + meta + "}"},
		{"left", Change{Kind: Members, Op: Delete, Record: []byte(row), Position: at}, UserLeft, row[:len(row)-1] + "," + meta + "}"},
		{"online", Change{Kind: Online, Op: Insert, Record: []byte(row), Position: at}, UserOnline, row[:len(row)-1] + "," + meta + "}"},
		{"offline", Change{Kind: Online, Op: Delete, Record: []byte(row), Position: at}, UserOffline, row[:len(row)-1] + "," + meta + "}"},
		{"empty record", Change{Kind: Rows, Op: Insert, Record: []byte(` { } `), Position: at}, NewMessage, `{` + meta + `}`},
		{"without a position", Change{Kind: Rows, Op: Insert, Record: []byte(row)}, NewMessage, row},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := Translate(tc.change, 0)
			if err != nil {
				t.Fatal(err)
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
		{Change{Kind: Rows, Op: "TRUNCATE", Record: []byte(`{}`)}, ErrOp},
		{Change{Kind: Online, Op: Update, Record: []byte(`{}`)}, ErrOp},
		{Change{Kind: Rows, Op: Insert, Record: []byte(`[]`)}, ErrRecord},
		{Change{Kind: Rows, Op: Insert}, ErrRecord},
		{Change{Kind: Rows, Op: Delete, Record: []byte(`null`)}, ErrRecord},
	} {
		if _, err := Translate(tc.change, 0); !errors.Is(err, tc.want) {
			t.Errorf("%+v: error %v, want %v", tc.change, err, tc.want)
		}
	}
}

func TestTooLargeBecomesAStub(t *testing.T) {
	record, err := json.Marshal(map[string]string{"id": "1", "room_id": "7", "content": strings.Repeat("x", 500)})
	if err != nil {
		t.Fatal(err)
	}
	c := Change{Kind: Rows, Op: Insert, Record: record, Keys: []string{"id", "room_id"}, Position: &Position{Seq: 1, Epoch: "e", At: "t"}}
	e, err := Translate(c, 300)
	if want := `{"id":"1","room_id":"7","roomcast":{"seq":1,"epoch":"e","at":"t","stub":true}}`; err != nil || !e.Stub || string(e.Data) != want {
		t.Errorf("stub %v, err %v\n got %s\nwant %s", e.Stub, err, e.Data, want)
	}
	c.Keys = append(c.Keys, "content") // a key as large as the row
	if e, err = Translate(c, 300); err != nil || string(e.Data) != `{"roomcast":{"seq":1,"epoch":"e","at":"t","stub":true}}` {
		t.Errorf("with a large key: %s, %v", e.Data, err)
	}
	kept := Change{Kind: Rows, Op: Insert, Record: []byte(`{"id":"1"}`), Stub: true, Position: c.Position}
	if e, err = Translate(kept, 0); err != nil || !e.Stub || string(e.Data) != `{"id":"1","roomcast":{"seq":1,"epoch":"e","at":"t","stub":true}}` {
		t.Errorf("a row kept as a stub: %s, %v", e.Data, err)
	}
	whole, err := Translate(c, len(record)+100)
	if err != nil || whole.Stub {
		t.Errorf("an event that fits became a stub (err %v)", err)
	}
}

func BenchmarkTranslate(b *testing.B) {
	c := Change{Kind: Rows, Op: Insert, Record: []byte(`{"id": "5e599a19-1d26-476a-841a-1b2ed9586a78", "content": "a message of usual length, more or less", "room_id": "11111111-1111-4111-8111-111111111110", "user_id": null, "created_at": "2026-11-22T21:58:39.714466+00:00"}`),
		Position: &Position{Seq: 42, Epoch: "k3f9", At: "2026-11-22T20:27:53.116454+00:00"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Translate(c, 9999); err != nil {
			b.Fatal(err)
		}
	}
}
