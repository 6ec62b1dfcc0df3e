package relay

import (
	"bytes"
	"encoding/json"
	"testing"
)

// A member is what encoding/json would make of it, whatever stands around it.
func TestMemberIsAsEncodingJSONReadsIt(t *testing.T) {
	for _, object := range []string{
		`{}`, `{"room_id":null}`, `{"room_id":"a","id":1}`, ` { "id" : [ {"room_id":1} ] , "room_id" : 7 } `,
		`{"room_id":"a","room_id":"b"}`, `{"Room_ID":"a"}`, `{"room\u005fid":"a\u00e9\ud800"}`,
		"{\"room_id\":\"\xff\",\"\xff\":2}", `{"room_id":{"x":[1,2,{"room_id":3}]},"z":false}`,
		`{"room_id":1`, `{"room_id":1,}`, `{"room_id" 1}`, `{"id":01,"room_id":2}`, `{"room_id":1]`, `[]`, `"room_id"`, ``,
	} {
		var all map[string]json.RawMessage
		wrong := json.Unmarshal([]byte(object), &all)
		got, err := member(json.RawMessage(object), "room_id")
		if (err != nil) != (wrong != nil) {
			t.Errorf("%s: error %v, want %v", object, err, wrong)
		} else if err == nil && !bytes.Equal(got, all["room_id"]) {
			t.Errorf("%s: read %s, want %s", object, got, all["room_id"])
		}
	}
}
