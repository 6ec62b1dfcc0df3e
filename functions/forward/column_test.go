package forward

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
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

// What is taken for usual is what encoding/json reads out of the same body.
func TestUsualWebhooksAreReadAsByEncodingJSON(t *testing.T) {
	for body, want := range map[string]bool{
		`{"type":"INSERT","table":"m","record":{"id":1},"schema":"public","old_record":null}`: true,
		` {"type":"WAKEUP"} `: true,
		`{"table":"a","table":"b","record":[1],"record":{"x":"\ud800"}}`: true,
		"{\"type\":\"\\u0041\xff\"}":                                     true,
		`{}`:                                                             true,
		`{"type":null}`:                                                  false,
		`{"Type":"INSERT"}`:                                              false,
		`{"type":1}`:                                                     false,
		`{"type":"WAKEUP","more":1}`:                                     false,
		`{"type":"WAKEUP"}{`:                                             false,
		`{"type":"WAKEUP"`:                                               false,
		`{"record":{"id":01}}`:                                           false,
		`[]`:                                                             false,
		``:                                                               false,
		`{"record":` + strings.Repeat("[", 20_000): false,
	} {
		got, usual := readUsual([]byte(body))
		if usual != want {
			t.Errorf("%.40s: usual is %v, want %v", body, usual, want)
		}
		var hook Webhook
		if err := json.Unmarshal([]byte(body), &hook); usual && (err != nil || !reflect.DeepEqual(got, hook)) {
			t.Errorf("%.40s: read %+v, want %+v (%v)", body, got, hook, err)
		}
	}
}

// A column is the text that encoding/json reads, escapes and faulty bytes included.
func TestColumnIsText(t *testing.T) {
	for _, raw := range []string{`"a-b"`, `""`, `"\u00e9\"\\"`, "\"\xff\"", `"\ud800"`} {
		var want string
		if err := json.Unmarshal([]byte(raw), &want); err != nil {
			t.Fatal(err)
		}
		got, known, err := column(json.RawMessage(`{"room_id":`+raw+`}`), "record", "room_id")
		if got != want || !known || err != nil {
			t.Errorf("%s: read %q, %v, %v, want %q", raw, got, known, err, want)
		}
	}
}
