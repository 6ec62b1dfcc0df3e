package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// The table of several seeds hides none that broke a promise.
func TestWorstOfSeveralSeeds(t *testing.T) {
	one := func(repeated int, seconds float64, wrong ...string) []result {
		return []result{{
			fault: "a", verdict: verdict{messages: 10, lost: len(wrong), repeated: repeated, wrong: wrong}, seconds: seconds,
			seen: &seen{messages: 5, lost: len(wrong), worst: time.Duration(seconds * float64(time.Second))},
		}}
	}
	o := options{seed: 201, seeds: 3}
	all := worst(nil, one(3, 1), o)
	o.seed++
	all = worst(all, one(1, 5, "a gap"), o)
	o.seed++
	all = worst(all, one(2, 2), o)
	if len(all) != 1 || all[0].messages != 30 || all[0].lost != 1 || all[0].repeated != 3 || all[0].seconds != 5 || all[0].kept() {
		t.Errorf("got %+v", all)
	}
	if s := all[0].seen; s.messages != 15 || s.lost != 1 || s.worst != 5*time.Second {
		t.Errorf("of the screens: %+v", s)
	}
	o.seed = 201
	var out bytes.Buffer
	printTable(&out, all, o)
	for _, want := range []string{"Seeds 201 to 203", "BROKEN: a: seed 202: a gap"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
