package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"
)

// wanted is a target for tests: the shipped settings, one secret.
func wanted(t *testing.T) desired {
	t.Helper()
	s, err := readSettings("../../fly.toml")
	if err != nil {
		t.Fatal(err)
	}
	return desired{settings: s, org: "personal", image: "registry.example/roomcast@sha256:" + strings.Repeat("1", 64),
		version: versionA, prints: map[string]string{"WEBHOOK_SECRET": "print"}}
}

// asWanted is a state in which everything is as it should be, with n machines.
func asWanted(want desired, n int) state {
	have := state{
		exists: true, pushed: true,
		ips:     []flaps.IPAssignment{{IP: "66.241.125.1", Shared: true}, {IP: "2a09:8280:1::1"}},
		secrets: []fly.AppSecret{{Name: "WEBHOOK_SECRET", Digest: "digest"}},
	}
	for slot := 1; slot <= n; slot++ {
		config := want.settings.machineConfig(target{image: want.image, version: want.version, slot: slot})
		config.Metadata[metaVerified] = config.Metadata[metaConfig]
		config.Metadata[metaSecrets] = newRecord(want.prints, have.secrets).String()
		have.machines = append(have.machines, &fly.Machine{ID: string(rune('a' + slot - 1)), State: "stopped", Config: config})
	}
	return have
}

func TestPlan(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(want *desired, have *state)
		says   []string // lines of the plan; none means nothing to do
	}{
		{"nothing to do", func(*desired, *state) {}, nil},
		{"nothing there", func(_ *desired, have *state) { *have = state{} },
			[]string{"+ app roomcast, in organization personal", "+ address shared_v4", "+ address v6", "+ image push",
				"~ secrets set WEBHOOK_SECRET", "+ machine 1: create", "+ machine 2: create"}},
		{"a dedicated address will do", func(_ *desired, have *state) { have.ips[0].Shared = false }, nil},
		{"a private address will not", func(_ *desired, have *state) { have.ips[1].IP = "fdaa:0:1::2" }, []string{"+ address v6"}},
		{"new image", func(want *desired, have *state) { want.image, have.pushed = "other", false },
			[]string{"+ image push", "~ machine 1 a (stopped): update: image", "~ machine 2 b (stopped): update: image"}},
		{"those that serve come last", func(want *desired, have *state) { want.image, have.machines[0].State = "other", "started" },
			[]string{"~ machine 2 b (stopped): update: image", "~ machine 1 a (started): update: image"}},
		{"what nobody saw work comes first", func(want *desired, have *state) {
			want.image = "other"
			delete(have.machines[1].Config.Metadata, metaVerified)
		}, []string{"~ machine 2 b (stopped): update: image", "~ machine 1 a (stopped): update: image"}},
		{"a setting changed", func(want *desired, _ *state) { want.settings.HTTPService.Concurrency.SoftLimit++ },
			[]string{"~ machine 1 a (stopped): update: settings", "~ machine 2 b (stopped): update: settings"}},
		{"changed on Fly behind our back", func(_ *desired, have *state) {
			have.machines[0].Config.Guest.MemoryMB = 512
			have.machines[1].Config.Env["LOG_LEVEL"] = "debug"
		}, []string{"~ machine 1 a (stopped): update: size", "~ machine 2 b (stopped): update: env"}},
		{"an unreadable machine", func(_ *desired, have *state) { have.machines[0].Config = nil },
			[]string{"~ machine 1 a (stopped): update: its configuration is unreadable, secrets"}},
		{"nobody saw it work", func(_ *desired, have *state) { delete(have.machines[1].Config.Metadata, metaVerified) },
			[]string{"~ machine 2 b (stopped): check: nobody saw it work"}},
		{"a secret changed here", func(want *desired, _ *state) { want.prints["WEBHOOK_SECRET"] = "other" },
			[]string{"~ secrets set WEBHOOK_SECRET", "~ machine 1 a (stopped): update: secrets", "~ machine 2 b (stopped): update: secrets"}},
		{"a secret changed on Fly", func(_ *desired, have *state) { have.secrets[0].Digest = "other" },
			[]string{"~ secrets set WEBHOOK_SECRET", "~ machine 1 a (stopped): update: secrets", "~ machine 2 b (stopped): update: secrets"}},
		{"one machine has an old secret", func(_ *desired, have *state) {
			have.machines[1].Config.Metadata[metaSecrets] = "WEBHOOK_SECRET=old:old"
		}, []string{"~ machine 2 b (stopped): update: secrets"}},
		{"a secret that is on Fly only", func(_ *desired, have *state) { have.secrets = append(have.secrets, fly.AppSecret{Name: "OTHER"}) },
			nil},
		{"a third machine stays", func(want *desired, have *state) { *have = asWanted(*want, 3) }, nil},
		{"unless two are wanted", func(want *desired, have *state) { *have, want.count = asWanted(*want, 3), 2 },
			[]string{"- machine c (stopped): destroy: only 2 are wanted"}},
		{"three are wanted", func(want *desired, _ *state) { want.count = 3 }, []string{"+ machine 3: create"}},
		{"one of `fly deploy`, one copied by `fly scale`", func(_ *desired, have *state) {
			have.machines[0].Config.Metadata = map[string]string{"fly_process_group": "app"}
			have.machines[0].Config.Image = "registry.example/roomcast:deployment-1"
		}, []string{"~ machine 1 a (stopped): update: image, secrets"}},
		{"two in one place", func(_ *desired, have *state) { have.machines[1].Config.Metadata[metaSlot] = "1" }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := wanted(t)
			have := asWanted(want, 2)
			test.change(&want, &have)
			p := makePlan(want, have)
			if p.empty() != (test.says == nil) {
				t.Errorf("empty is %v:\n%s", p.empty(), p)
			}
			var says []string
			for line := range strings.Lines(p.String()) {
				line = strings.Join(strings.Fields(line), " ")
				if strings.IndexAny(line, "+~-") == 0 {
					says = append(says, line)
				}
			}
			if !slices.Equal(says, test.says) {
				t.Errorf("the plan is\n%s\nwant\n%s", strings.Join(says, "\n"), strings.Join(test.says, "\n"))
			}
			if again := makePlan(want, have); again.String() != p.String() {
				t.Errorf("another time the plan is\n%s", again)
			}
		})
	}
}

// What Fly adds to a configuration of its own must not look like a change.
func TestDifferencesIgnoreDefaults(t *testing.T) {
	want := wanted(t)
	config := want.settings.machineConfig(target{image: want.image, version: want.version, slot: 1})
	have := *config
	have.Metadata = maps.Clone(config.Metadata)
	have.Metadata["fly_release_id"] = "x"
	have.DNS, have.Init = &fly.DNSConfig{}, fly.MachineInit{Exec: []string{}}
	if why := differences(&have, config); len(why) > 0 {
		t.Errorf("differs: %v", why)
	}
}
