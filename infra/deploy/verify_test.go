package main

import (
	"testing"

	fly "github.com/superfly/fly-go"
)

func happened(at int64, kind string, exit *fly.MachineExitEvent) *fly.MachineEvent {
	return &fly.MachineEvent{Type: kind, Timestamp: at, Request: &fly.MachineRequest{ExitEvent: exit}}
}

func TestCrashed(t *testing.T) {
	bad, asked, slept := &fly.MachineExitEvent{ExitCode: 1}, &fly.MachineExitEvent{ExitCode: 1, RequestedStop: true}, &fly.MachineExitEvent{}
	killed := &fly.MachineExitEvent{OOMKilled: true}
	for name, tc := range map[string]struct {
		events []*fly.MachineEvent
		want   bool
	}{
		"nothing yet":                    {nil, false},
		"before the change":              {[]*fly.MachineEvent{happened(4, "start", nil), happened(5, "exit", bad)}, false},
		"after the start":                {[]*fly.MachineEvent{happened(11, "start", nil), happened(12, "exit", bad)}, true},
		"out of memory":                  {[]*fly.MachineEvent{happened(11, "start", nil), happened(12, "exit", killed)}, true},
		"on request":                     {[]*fly.MachineEvent{happened(11, "start", nil), happened(12, "exit", asked)}, false},
		"fell asleep":                    {[]*fly.MachineEvent{happened(11, "start", nil), happened(12, "exit", slept)}, false},
		"the former process's own end":   {[]*fly.MachineEvent{happened(11, "update", nil), happened(12, "exit", bad)}, false},
		"listed newest first, as on Fly": {[]*fly.MachineEvent{happened(13, "exit", bad), happened(12, "start", nil), happened(11, "exit", bad)}, true},
		"twice without a start told":     {[]*fly.MachineEvent{happened(12, "exit", bad), happened(11, "exit", bad)}, true},
	} {
		if _, got := crashed(&fly.Machine{Events: tc.events}, 10); got != tc.want {
			t.Errorf("%s: crashed %t, want %t", name, got, tc.want)
		}
	}
}
