package authorize

import (
	"encoding/json"
	"testing"
)

// FuzzRestAnswer: only an answer that names the room makes anybody a member of it.
func FuzzRestAnswer(f *testing.F) {
	f.Add([]byte(`[{"room_id":"r"}]`), "r")
	f.Add([]byte(`[{"room_id":7}]`), "7")
	f.Add([]byte(`[{"room_id":null}]`), "")
	f.Add([]byte(`[{"room_id":"R","ROOM_ID":"r"},{"room_id":"r","room_id":"x"}]`), "r")
	f.Add([]byte(`{"code":"22P02"}`), "r")
	a := &REST{roomColumn: "room_id"}
	f.Fuzz(func(t *testing.T, body []byte, room string) {
		_ = restError(400, body)
		if ok, err := a.isMember(body, room); !ok || err != nil {
			return
		}
		var rows []map[string]json.RawMessage
		if err := json.Unmarshal(body, &rows); err != nil {
			t.Fatalf("a member by %q: %v", body, err)
		}
		for _, row := range rows {
			var text string
			if value := row["room_id"]; string(value) == room || json.Unmarshal(value, &text) == nil && text == room {
				return
			}
		}
		t.Fatalf("a member of %q by %q", room, body)
	})
}
