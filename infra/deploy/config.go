package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"

	fly "github.com/superfly/fly-go"
)

// What infra/deploy writes into a machine's metadata. It is all it remembers: no
// file is left on the computer that deployed, so that any other can go on.
const (
	metaSlot     = "roomcast_slot"     // which of the machines this is, from 1: a create is looked up by it
	metaVersion  = "roomcast_version"  // the commit it should tell
	metaConfig   = "roomcast_config"   // fingerprint of the configuration it was given
	metaSecrets  = "roomcast_secrets"  // which values of the secrets it was given, see secretRecord
	metaVerified = "roomcast_verified" // equal to metaConfig once it was seen to work
)

// target is what a machine should be.
type target struct {
	image   string // repository@sha256:…
	version string
	slot    int
}

// machineConfig is what fly.toml means for one machine, in the words of the
// Machines API. flyctl makes the same of the same file, so that `fly deploy` and
// this can take turns.
func (s *settings) machineConfig(t target) *fly.MachineConfig {
	memory, _ := megabytes(s.VM[0].Memory) // checked when it was read
	c := &fly.MachineConfig{
		Image: t.image,
		Env:   maps.Clone(s.Env),
		Guest: &fly.MachineGuest{CPUKind: s.VM[0].CPUKind, CPUs: s.VM[0].CPUs, MemoryMB: memory},
		Restart: &fly.MachineRestart{
			Policy: fly.MachineRestartPolicy(s.Restart[0].Policy), MaxRetries: s.Restart[0].Retries,
		},
		StopConfig: &fly.StopConfig{Timeout: duration(s.KillTimeout), Signal: new(s.KillSignal)},
		Services:   []fly.MachineService{s.service()},
		Metadata: map[string]string{
			fly.MachineConfigMetadataKeyFlyPlatformVersion: fly.MachineFlyPlatformVersion2,
			fly.MachineConfigMetadataKeyFlyProcessGroup:    fly.MachineProcessGroupApp,
			metaVersion: t.version,
		},
	}
	if s.Metrics.Port != 0 {
		c.Metrics = &fly.MachineMetrics{Port: s.Metrics.Port, Path: s.Metrics.Path}
	}
	c.Metadata[metaConfig] = fingerprint(c) // of what all machines have in common
	c.Metadata[metaSlot] = strconv.Itoa(t.slot)
	return c
}

// service is [http_service]: port 80 sends to 443, and there TLS ends.
func (s *settings) service() fly.MachineService {
	h := s.HTTPService
	service := fly.MachineService{
		Protocol:     "tcp",
		InternalPort: h.InternalPort,
		Autostop:     new(fly.MachineAutostopOff), // readSettings refuses anything else
		Autostart:    &h.AutoStartMachines, MinMachinesRunning: &h.MinMachinesRunning,
		Ports: []fly.MachinePort{
			{Port: new(80), Handlers: []string{"http"}, ForceHTTPS: h.ForceHTTPS},
			{Port: new(443), Handlers: []string{"http", "tls"}},
		},
		Concurrency: &fly.MachineServiceConcurrency{
			Type: h.Concurrency.Type, SoftLimit: h.Concurrency.SoftLimit, HardLimit: h.Concurrency.HardLimit,
		},
	}
	for _, check := range h.Checks {
		service.Checks = append(service.Checks, fly.MachineServiceCheck{
			Type: new("http"), HTTPMethod: &check.Method, HTTPPath: &check.Path,
			GracePeriod: duration(check.GracePeriod), Interval: duration(check.Interval), Timeout: duration(check.Timeout),
		})
	}
	return service
}

func duration(s span) *fly.Duration { return &fly.Duration{Duration: s.Duration} }

// fingerprint of a configuration as it was sent. It is compared with itself only:
// Fly gives a configuration back with defaults of its own added.
func fingerprint(c *fly.MachineConfig) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, numbers and maps of them
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// proven reports whether a machine was seen to work as it is. What was not made here
// has no mark, and is believed in.
func proven(m *fly.Machine) bool {
	config := m.GetMetadataByKey(metaConfig)
	return config == "" || config == m.GetMetadataByKey(metaVerified)
}

// differences says why a machine is not what it should be, in words for the plan.
// The fingerprint finds what was changed in fly.toml; the rest, what was changed on
// Fly behind its back, by the fields that people change there.
func differences(have, want *fly.MachineConfig) (why []string) {
	if have == nil {
		return []string{"its configuration is unreadable"}
	}
	note := func(differs bool, format string, args ...any) {
		if differs {
			why = append(why, fmt.Sprintf(format, args...))
		}
	}
	note(have.Image != want.Image, "image")
	note(!maps.Equal(have.Env, want.Env), "env")
	note(!reflect.DeepEqual(have.Guest, want.Guest), "size")
	note(have.Restart == nil || have.Restart.Policy != want.Restart.Policy, "restart policy")
	if len(why) == 0 && have.Metadata[metaConfig] != want.Metadata[metaConfig] {
		why = append(why, "settings")
	}
	return why
}
