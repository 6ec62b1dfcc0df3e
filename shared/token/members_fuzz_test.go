package token

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzMembers: the members of an object are those that encoding/json finds, the last of each
// name, with the same texts.
func FuzzMembers(f *testing.F) {
	for _, object := range []string{
		`{}`, `{"a":1}`, ` { "a" : "x\"}" , "b":[1,{"c":"]"}] ,"c":-1.5e3 , "d":{"a":{}},"e":null}`,
		"{\"a\":[],\r\n\t\"a\":true}", `{"r\u006fle":"\\","role":"\\\""}`, `{"a":[[[]]],"b":{"":""},"":0}`,
	} {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, text string) {
		object := bytes.Trim([]byte(text), " \t\r\n")
		if !bytes.HasPrefix(object, []byte{'{'}) || !utf8.Valid(object) || !json.Valid(object) {
			return
		}
		want, got := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		if err := json.Unmarshal(object, &want); err != nil {
			t.Fatal(err)
		}
		eachMember(object, func(name, value []byte) {
			got[string(name)] = value
		})
		if len(got) != len(want) {
			t.Fatalf("%q has %d members, want %d", object, len(got), len(want))
		}
		for name := range want {
			if string(got[name]) != string(want[name]) {
				t.Fatalf("%q: %q is %q, want %q", object, name, got[name], want[name])
			}
		}
	})
}
