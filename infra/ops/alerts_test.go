package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// promtool tests every rule both ways (alerts_test.yml). infra/prepare installs it with
// Debian's prometheus; where it cannot be had, this is skipped, and says so.
func TestAlertRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: the alert rules are NOT tested: promtool is not installed (apt-get install prometheus; run infra/prepare)")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = "prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Each alert is tested both ways: some moment at which it fires, some at which it does
// not.
func TestEveryAlertIsTestedBothWays(t *testing.T) {
	rules, tests := readFile(t, "prometheus/alerts.yml"), readFile(t, "prometheus/alerts_test.yml")
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	if len(alerts) < 10 {
		t.Fatalf("only %d alerts found", len(alerts))
	}
	for _, alert := range alerts {
		fires, rests := 0, 0
		for line := range strings.SplitSeq(tests, "\n") {
			switch {
			case !strings.Contains(line, `"`+alert[1]+`"`) && !strings.HasSuffix(strings.TrimSpace(line), "alertname: "+alert[1]) && !strings.Contains(line, "alertname: "+alert[1]+","):
			case strings.Contains(line, "exp_samples: []") || strings.Contains(line, "exp_alerts: []"):
				rests++
			default:
				fires++
			}
		}
		if fires == 0 {
			t.Errorf("%s: no test in which it fires", alert[1])
		}
		// Where two apps are compared, the calm one is the other way.
		if rests == 0 && !strings.Contains(tests, `app="calm"`) {
			t.Errorf("%s: no test in which it does not fire", alert[1])
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
