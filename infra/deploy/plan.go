package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"
)

// desired is what should be: the checkout, fly.toml, the secrets and the flags.
type desired struct {
	settings settings
	org      string
	count    int // machines; 0 leaves it at what there are, two at least
	image    string
	version  string
	prints   map[string]string // of the secrets, see secretPrints
}

// state is what is: all that Fly says about the app.
type state struct {
	exists   bool
	ips      []flaps.IPAssignment
	secrets  []fly.AppSecret
	machines []*fly.Machine
	pushed   bool // the registry has the image
}

// plan is what to do about the difference, in the order of doing it.
type plan struct {
	app       string
	org       string
	region    string
	version   string
	image     string
	createApp bool
	addresses []string // types of addresses to assign
	secrets   []string // names to set
	foreign   []string // names on Fly that the secrets in hand do not mention
	push      bool
	steps     []step
}

// An action is what a step does to its machine.
type action string

const (
	keep    action = "keep"    // nothing to do
	check   action = "check"   // it is as it should be, but nobody saw it work
	update  action = "update"  // give it the new configuration
	create  action = "create"  // it is not there
	destroy action = "destroy" // there are more than were asked for
)

type step struct {
	slot    int
	action  action
	machine *fly.Machine       // nil to create
	config  *fly.MachineConfig // what it should be, without the record of its secrets
	why     []string
}

// makePlan compares. It asks nobody, and the same input gives the same plan.
func makePlan(want desired, have state) plan {
	p := plan{
		app: want.settings.App, org: want.org, region: want.settings.PrimaryRegion,
		version: want.version, image: want.image,
		createApp: !have.exists, addresses: missingAddresses(have.ips),
	}
	p.secrets = changedSecrets(want.prints, have)
	for _, s := range have.secrets {
		if _, ok := want.prints[s.Name]; !ok {
			p.foreign = append(p.foreign, s.Name)
		}
	}
	slices.Sort(p.foreign)
	p.steps = steps(want, have)
	p.push = !have.pushed && slices.ContainsFunc(p.steps, func(s step) bool { return s.action == create || s.action == update })
	return p
}

// missingAddresses: a shared IPv4 address costs nothing and is enough for HTTPS.
func missingAddresses(ips []flaps.IPAssignment) (missing []string) {
	isV6 := func(ip flaps.IPAssignment) bool { return strings.Contains(ip.IP, ":") && !ip.IsFlycast() }
	isV4 := func(ip flaps.IPAssignment) bool { return !strings.Contains(ip.IP, ":") }
	if !slices.ContainsFunc(ips, isV4) {
		missing = append(missing, "shared_v4")
	}
	if !slices.ContainsFunc(ips, isV6) {
		missing = append(missing, "v6")
	}
	return missing
}

// changedSecrets are those of which no machine's record says that Fly has the value
// in our hands.
func changedSecrets(prints map[string]string, have state) (changed []string) {
	now := newRecord(prints, have.secrets)
	for _, name := range slices.Sorted(maps.Keys(prints)) {
		recorded := func(m *fly.Machine) bool { return now[name] != "" && recordOf(m)[name] == now[name] }
		if !slices.ContainsFunc(have.machines, recorded) {
			changed = append(changed, name)
		}
	}
	return changed
}

// steps says what to do with each machine, in an order that disturbs the least.
func steps(want desired, have state) (steps []step) {
	count := cmp.Or(want.count, max(2, len(have.machines)))
	bySlot, surplus := assignSlots(have.machines, count)
	now := newRecord(want.prints, have.secrets)
	changed := changedSecrets(want.prints, have)
	for slot := 1; slot <= count; slot++ {
		config := want.settings.machineConfig(target{image: want.image, version: want.version, slot: slot})
		s := step{slot: slot, machine: bySlot[slot], config: config, action: keep}
		switch {
		case s.machine == nil:
			s.action = create
		default:
			s.why = differences(s.machine.Config, config)
			if len(changed) > 0 || lacks(recordOf(s.machine), now) {
				s.why = append(s.why, "secrets")
			}
			if len(s.why) > 0 {
				s.action = update
			} else if !proven(s.machine) {
				s.action, s.why = check, []string{"nobody saw it work"}
			}
		}
		steps = append(steps, s)
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(disturbance(a), disturbance(b)) })
	for _, m := range surplus {
		steps = append(steps, step{action: destroy, machine: m, why: []string{fmt.Sprintf("only %d are wanted", count)}})
	}
	return steps
}

// disturbance orders the steps. First what a deploy left that did not live to see it
// work: it may be broken. Then what sleeps: what goes wrong there, no user meets. New
// machines come after those that serve already.
func disturbance(s step) int {
	switch {
	case s.machine == nil:
		return 3
	case !proven(s.machine):
		return 0
	case s.machine.State != fly.MachineStateStarted:
		return 1
	}
	return 2
}

// lacks reports whether a machine was given other values than Fly has now.
func lacks(record, now secretRecord) bool {
	for name, value := range now {
		if record[name] != value {
			return true
		}
	}
	return false
}

// assignSlots finds a place for every machine: its own if its metadata names one,
// else (`fly deploy` made it, or `fly scale` copied it) one that is free.
func assignSlots(machines []*fly.Machine, count int) (bySlot map[int]*fly.Machine, surplus []*fly.Machine) {
	bySlot = map[int]*fly.Machine{}
	ordered := slices.SortedFunc(slices.Values(machines), func(a, b *fly.Machine) int { return cmp.Compare(a.ID, b.ID) })
	var homeless []*fly.Machine
	for _, m := range ordered {
		if slot := slotOf(m); slot >= 1 && slot <= count && bySlot[slot] == nil {
			bySlot[slot] = m
		} else {
			homeless = append(homeless, m)
		}
	}
	for slot := 1; slot <= count && len(homeless) > 0; slot++ {
		if bySlot[slot] == nil {
			bySlot[slot], homeless = homeless[0], homeless[1:]
		}
	}
	return bySlot, homeless
}

// slotOf is 0 for a machine that was not made here.
func slotOf(m *fly.Machine) int {
	slot, err := strconv.Atoi(m.GetMetadataByKey(metaSlot))
	if err != nil {
		return 0
	}
	return slot
}

// empty reports whether everything is as it should be.
func (p plan) empty() bool {
	return !p.createApp && len(p.addresses) == 0 && len(p.secrets) == 0 && !p.push &&
		!slices.ContainsFunc(p.steps, func(s step) bool { return s.action != keep })
}
