package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// settings is fly.toml, as far as Roomcast uses it. The keys are Fly's
// (https://fly.io/docs/reference/configuration/); one that is not here is refused,
// since a setting that is read by `fly deploy` only would be a trap.
type settings struct {
	App           string `toml:"app"`
	PrimaryRegion string `toml:"primary_region"`
	KillSignal    string `toml:"kill_signal"`
	KillTimeout   span   `toml:"kill_timeout"`

	Build struct { // for `fly deploy`; not read here
		Dockerfile string `toml:"dockerfile"`
		Ignorefile string `toml:"ignorefile"`
	} `toml:"build"`

	Env         map[string]string `toml:"env"`
	HTTPService httpService       `toml:"http_service"`
	Metrics     struct {
		Port int    `toml:"port"`
		Path string `toml:"path"`
	} `toml:"metrics"`
	Restart []struct {
		Policy  string `toml:"policy"`
		Retries int    `toml:"retries"`
	} `toml:"restart"`
	VM []struct {
		CPUKind string `toml:"cpu_kind"`
		CPUs    int    `toml:"cpus"`
		Memory  string `toml:"memory"`
	} `toml:"vm"`
}

type httpService struct {
	InternalPort       int    `toml:"internal_port"`
	ForceHTTPS         bool   `toml:"force_https"`
	AutoStopMachines   string `toml:"auto_stop_machines"`
	AutoStartMachines  bool   `toml:"auto_start_machines"`
	MinMachinesRunning int    `toml:"min_machines_running"`
	Concurrency        struct {
		Type      string `toml:"type"`
		SoftLimit int    `toml:"soft_limit"`
		HardLimit int    `toml:"hard_limit"`
	} `toml:"concurrency"`
	Checks []struct {
		Method      string `toml:"method"`
		Path        string `toml:"path"`
		GracePeriod span   `toml:"grace_period"`
		Interval    span   `toml:"interval"`
		Timeout     span   `toml:"timeout"`
	} `toml:"checks"`
}

// span is a duration written as in "5s". (fly.Duration cannot be read from TOML by
// this library: its UnmarshalText refuses its own argument's type.)
type span struct{ time.Duration }

// UnmarshalText reads "5s".
func (s *span) UnmarshalText(text []byte) (err error) {
	s.Duration, err = time.ParseDuration(string(text))
	return err
}

// readSettings reads fly.toml and reports everything that is wrong with it at once.
func readSettings(path string) (settings, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return settings{}, fmt.Errorf("settings: %w", err)
	}
	var s settings
	err = toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&s)
	if unknown := (*toml.StrictMissingError)(nil); errors.As(err, &unknown) {
		return settings{}, fmt.Errorf("%s has keys that infra/deploy does not know:\n%s", path, unknown.String())
	}
	if err != nil {
		return settings{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := errors.Join(s.faults()...); err != nil {
		return settings{}, fmt.Errorf("%s:\n%w", path, err)
	}
	return s, nil
}

// faults are the mistakes that Fly would accept and a chat would suffer from.
func (s *settings) faults() (faults []error) {
	fault := func(wrong bool, text string) {
		if wrong {
			faults = append(faults, errors.New(text))
		}
	}
	h := s.HTTPService
	fault(s.App == "", "app: is missing")
	fault(s.PrimaryRegion == "", "primary_region: is missing: the region of the database, such as fra")
	fault(h.InternalPort == 0, "http_service.internal_port: is missing")
	fault(s.Env["PORT"] != strconv.Itoa(h.InternalPort), "env.PORT: must be http_service.internal_port, where the proxy connects")
	fault(s.Metrics.Port != 0 && s.Env["METRICS_PORT"] != strconv.Itoa(s.Metrics.Port), "env.METRICS_PORT: must be metrics.port, where it is scraped")
	fault(h.AutoStopMachines != "off", `http_service.auto_stop_machines: must be "off": the proxy would stop a relay at work`)
	fault(!h.AutoStartMachines, "http_service.auto_start_machines: must be true: a wake-up starts the machine")
	fault(len(h.Checks) == 0, "http_service.checks: is missing: a deploy would have nothing to wait for")
	fault(len(s.Restart) != 1 || s.Restart[0].Policy != "on-failure", `restart: must be one policy, "on-failure": exit status 0 means asleep`)
	fault(len(s.VM) != 1, "vm: must be there once")
	if len(s.VM) == 1 {
		_, err := megabytes(s.VM[0].Memory)
		fault(err != nil, `vm.memory: must be a size such as "256mb"`)
	}
	return faults
}

// megabytes reads "256mb" or "1gb".
func megabytes(text string) (int, error) {
	text, unit := strings.ToLower(strings.TrimSpace(text)), 1
	switch {
	case strings.HasSuffix(text, "gb"):
		unit = 1024
		fallthrough
	case strings.HasSuffix(text, "mb"):
		text = text[:len(text)-2]
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err == nil && n <= 0 {
		err = strconv.ErrRange
	}
	return n * unit, err
}
