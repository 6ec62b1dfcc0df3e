package pushertest

import (
	"strings"
	"testing"
)

// verdict is a TB that notes what would have become of the test.
type verdict struct{ skipped, failed string }

func (v *verdict) Helper()                        {}
func (v *verdict) Skipf(format string, _ ...any)  { v.skipped = format }
func (v *verdict) Fatalf(format string, _ ...any) { v.failed = format }

// Without the packages a laptop skips, and says so; CI fails.
func TestNodeModulesAreNotMissedSilently(t *testing.T) {
	t.Chdir(t.TempDir()) // outside of any module
	for _, ci := range []string{"", "true"} {
		t.Setenv("CI", ci)
		var got verdict
		if dir := NodeModules(&got); dir != "" {
			t.Fatalf("found %s", dir)
		}
		said := got.skipped + got.failed
		if !strings.HasPrefix(said, "NOT TESTED") || (got.failed != "") != (ci == "true") {
			t.Errorf("CI=%q: %+v", ci, got)
		}
	}
}
