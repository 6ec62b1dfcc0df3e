package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func someReport() report {
	return report{
		machine: machine{hardware: "a machine", commit: "abc", date: "2026-11-22", load: "0.07"},
		took:    90 * time.Second,
		results: []result{
			{what: "one", reached: "5 | 6", target: "≤ 7", met: true, note: "how"},
			{what: "two", reached: "9", target: "≤ 7"},
			{what: "three", reached: "1"},
			{what: "four", reached: "1", target: "≥ 2", note: "why\nnot"},
		},
	}
}

func TestMarkdown(t *testing.T) {
	var out bytes.Buffer
	r := someReport()
	r.markdown(&out)
	const want = `a machine. Commit abc, 2026-11-22; measured in 1m30s. Load average before the start: 0.07.

| what | reached | target | met |
|---|---|---|---|
| one <sup>1</sup> | 5 \| 6 | ≤ 7 | yes |
| two | 9 | ≤ 7 | no |
| three | 1 |  |  |
| four <sup>2</sup> | 1 | ≥ 2 | no |

1. how
2. why not
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestQuickFiguresSayThatTheyAreNone(t *testing.T) {
	r := someReport()
	r.quick = true
	for _, write := range []func(io.Writer){r.text, r.markdown} {
		var out bytes.Buffer
		write(&out)
		if !strings.Contains(out.String(), "no figures to quote") {
			t.Errorf("a quick run can be taken for a real one:\n%s", &out)
		}
	}
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-only", "drain,hot", "-quick", "-cpuprofile", "dir"}, io.Discard)
	if err != nil || !slices.Equal(o.only, []string{"drain", "hot"}) || !o.quick || o.cpuProfile != "dir" {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-only", "drian"}, {"drain"}, {"-slow"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
