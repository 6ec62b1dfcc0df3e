package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// Of a failed package the failed tests are shown, one that passed in a line with what it skipped loudly,
// one that does not compile with the compiler's words, and a package whose end never came
// is named by what runs.
func TestFollow(t *testing.T) {
	events := `
{"Action":"run","Package":"roomcast/a","Test":"TestOne"}
{"Action":"output","Package":"roomcast/a","Test":"TestOne","Output":"    a_test.go:1: quiet\n"}
{"Action":"output","Package":"roomcast/a","Output":"SKIPPED TestTwo: no Postgres\n"}
{"Action":"run","Package":"roomcast/b","Test":"TestGood"}
{"Action":"output","Package":"roomcast/b","Test":"TestGood","Output":"    b_test.go:2: right\n"}
{"Action":"pass","Package":"roomcast/b","Test":"TestGood","Elapsed":0.1}
{"Action":"run","Package":"roomcast/b","Test":"TestBad"}
{"Action":"run","Package":"roomcast/b","Test":"TestBad/sub"}
{"Action":"output","Package":"roomcast/b","Test":"TestBad/sub","Output":"    b_test.go:1: wrong\n"}
{"Action":"fail","Package":"roomcast/b","Test":"TestBad/sub","Elapsed":9}
{"Action":"fail","Package":"roomcast/b","Test":"TestBad","Elapsed":2.5}
{"Action":"fail","Package":"roomcast/b","Elapsed":3}
{"Action":"pass","Package":"roomcast/a","Test":"TestOne","Elapsed":0.5}
{"Action":"pass","Package":"roomcast/a","Elapsed":1}
{"ImportPath":"roomcast/c [roomcast/c.test]","Action":"build-output","Output":"c.go:1: undefined: x\n"}
{"ImportPath":"roomcast/c [roomcast/c.test]","Action":"build-fail"}
{"Action":"skip","Package":"roomcast/none"}
not json
{"Action":"run","Package":"roomcast/d","Test":"TestHangs"}
`
	var out bytes.Buffer
	r := newReport(&out)
	if err := follow(strings.NewReader(strings.TrimPrefix(events, "\n")), r, nil); err != nil {
		t.Fatal(err)
	}
	r.running()
	got := regexp.MustCompile(`(?m)^test +\d+s  `).ReplaceAllString(out.String(), "")
	want := `
FAIL roomcast/b (3.0 s)
    b_test.go:1: wrong
ok   roomcast/a (1.0 s)
SKIPPED TestTwo: no Postgres
FAIL roomcast/c [roomcast/c.test] (0.0 s)
c.go:1: undefined: x
not json
  2.5 s b TestBad
  0.5 s a TestOne
  0.1 s b TestGood
2 passed, 1 failed, 0 skipped
running: d TestHangs
`
	if got != strings.TrimPrefix(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}
