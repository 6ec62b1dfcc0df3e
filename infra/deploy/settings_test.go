package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	fly "github.com/superfly/fly-go"
)

// The shipped file says what issue 6 promises, in the words of the Machines API.
func TestShippedSettings(t *testing.T) {
	s, err := readSettings("../../fly.toml")
	if err != nil {
		t.Fatal(err)
	}
	c := s.machineConfig(target{image: "image", version: versionA, slot: 1})
	service := c.Services[0]
	for what, ok := range map[string]bool{
		"256 MB of one shared CPU":      c.Guest.MemoryMB == 256 && c.Guest.CPUs == 1 && c.Guest.CPUKind == "shared",
		"the proxy does not stop":       *service.Autostop == fly.MachineAutostopOff,
		"the proxy starts":              *service.Autostart,
		"none need run":                 *service.MinMachinesRunning == 0,
		"TLS on 443":                    *service.Ports[1].Port == 443 && strings.Join(service.Ports[1].Handlers, "+") == "http+tls",
		"80 redirects":                  *service.Ports[0].Port == 80 && service.Ports[0].ForceHTTPS,
		"exit status 0 is sleep":        c.Restart.Policy == fly.MachineRestartPolicyOnFailure && c.Restart.MaxRetries == 10,
		"the health check":              len(service.Checks) == 1 && *service.Checks[0].HTTPPath == "/healthz",
		"metrics":                       c.Metrics.Port == 9091 && c.Metrics.Path == "/metrics",
		"the signal":                    *c.StopConfig.Signal == "SIGINT",
		"time for the 4 s of the drain": c.StopConfig.Timeout.Seconds() > 4,
		"`fly deploy` knows it":         c.ProcessGroup() == "app" && c.Metadata["fly_platform_version"] == "v2",
	} {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
}

// Every mistake is named at once, and one that has no effect is a mistake.
func TestSettingsFaults(t *testing.T) {
	shipped, err := os.ReadFile("../../fly.toml")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		replace []string
		want    []string
	}{
		"unknown key":  {[]string{"force_https = true", "force_https = true\n  force_http3 = true"}, []string{"force_http3"}},
		"the proxy":    {[]string{`auto_stop_machines = "off"`, `auto_stop_machines = "stop"`, "auto_start_machines = true", "auto_start_machines = false"}, []string{"auto_stop_machines", "auto_start_machines"}},
		"ports":        {[]string{`PORT = "8080"`, `PORT = "8081"`, `METRICS_PORT = "9091"`, `METRICS_PORT = "1"`}, []string{"env.PORT", "env.METRICS_PORT"}},
		"always up":    {[]string{`policy = "on-failure"`, `policy = "always"`}, []string{"restart"}},
		"memory":       {[]string{`"256mb"`, `"lots"`}, []string{"vm.memory"}},
		"a bad time":   {[]string{`kill_timeout = "5s"`, `kill_timeout = "soon"`}, []string{"soon"}},
		"no app":       {[]string{`app = "roomcast"`, ""}, []string{"app: is missing"}},
		"no check":     {[]string{"[[http_service.checks]]", "[[nothing.checks]]"}, []string{"nothing"}},
		"no such file": {nil, []string{"no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "fly.toml")
			if test.replace != nil {
				text := strings.NewReplacer(test.replace...).Replace(string(shipped))
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := readSettings(path)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestReadSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	text := "# a comment\n\nWEBHOOK_SECRET = one , two\nexport PUSHER_KEY='quoted'\nDATABASE_URL=postgres://u:p@h/d?a=b\nOTHER=\"x\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PUSHER_KEY": "from the environment", "PUSHER_SECRET": "s", "HOME": "/root"}
	got, err := readSecrets(path, true, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"WEBHOOK_SECRET": "one , two", "PUSHER_KEY": "quoted", "PUSHER_SECRET": "s",
		"DATABASE_URL": "postgres://u:p@h/d?a=b", "OTHER": "x", "HOME": ""} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if webhookSecret(got) != "one" {
		t.Errorf("the wake-up is sent with %q", webhookSecret(got))
	}
	if err := os.WriteFile(path, []byte("A=1\nhunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSecrets(path, true, os.Getenv); err == nil || !strings.Contains(err.Error(), ":2:") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a bad line: %v", err)
	}
	if _, err := readSecrets(path+"-not-there", true, os.Getenv); err == nil {
		t.Error("a file that was asked for and is not there is no error")
	}
	if _, err := readSecrets(path+"-not-there", false, os.Getenv); err != nil {
		t.Error(err)
	}
}

func TestSecretRecord(t *testing.T) {
	prints := secretPrints("app", map[string]string{"A": "one", "B": "one", "C": "three"}, secretRounds)
	if prints["A"] == prints["B"] || len(prints["A"]) != 16 {
		t.Errorf("prints are %v: equal values must not show", prints)
	}
	if other := secretPrints("other", map[string]string{"A": "one"}, secretRounds); other["A"] == prints["A"] {
		t.Error("two apps have the same print of a value")
	}
	record := newRecord(prints, []fly.AppSecret{{Name: "B", Digest: "d"}, {Name: "A", Digest: "d"}, {Name: "X", Digest: "d"}})
	m := &fly.Machine{Config: &fly.MachineConfig{Metadata: map[string]string{metaSecrets: record.String()}}}
	if got := recordOf(m); len(got) != 2 || got["A"] != "d:"+prints["A"] || lacks(got, record) || !strings.HasPrefix(record.String(), "A=d:") {
		t.Errorf("%q is read back as %v", record, got)
	}
}
