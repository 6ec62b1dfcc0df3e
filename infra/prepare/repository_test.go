package main

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v2"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestContributingListsEveryPackage, each in one line.
func TestContributingListsEveryPackage(t *testing.T) {
	cmd := exec.Command("go", "list", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages, listed []string
	for p := range strings.FieldsSeq(string(out)) {
		packages = append(packages, strings.TrimPrefix(p, "roomcast/"))
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\| [^|]+ \\|$").FindAllStringSubmatch(read(t, ".github/CONTRIBUTING.md"), -1) {
		listed = append(listed, row[1])
	}
	for _, p := range packages {
		if !slices.Contains(listed, p) {
			t.Errorf("%s is not listed", p)
		}
	}
	for _, p := range listed {
		if !slices.Contains(packages, p) {
			t.Errorf("%s is listed and does not exist", p)
		}
	}
}

// TestWorkflow: what is shipped as configuration parses, runs tasks that exist, and
// installs what prepare would have installed as root.
func TestWorkflow(t *testing.T) {
	var tasks struct {
		Tasks map[string]any `yaml:"tasks"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "Taskfile.yml")), &tasks); err != nil {
		t.Fatal(err)
	}
	type job struct {
		RunsOn string `yaml:"runs-on"`
		Needs  []string
		Steps  []struct{ Run, Uses string }
	}
	text := read(t, ".github/workflows/check.yml")
	jobs := map[string]job{}
	for _, file := range []string{text, read(t, ".github/workflows/fuzz.yml")} {
		var workflow struct{ Jobs map[string]job }
		if err := yaml.Unmarshal([]byte(file), &workflow); err != nil {
			t.Fatal(err)
		}
		maps.Copy(jobs, workflow.Jobs)
	}
	ran := 0
	for name, job := range jobs {
		for _, needed := range job.Needs {
			if _, found := jobs[needed]; !found {
				t.Errorf("%s needs %s, which does not exist", name, needed)
			}
		}
		for _, step := range job.Steps {
			_, call, found := strings.Cut(step.Run, "cmd/task@v3.53.1 ")
			if !found {
				continue
			}
			ran++
			if task := strings.Fields(call)[0]; tasks.Tasks[task] == nil {
				t.Errorf("%s runs %s, which is no task", name, task)
			}
		}
	}
	if ran < 5 {
		t.Errorf("%d tasks are run", ran)
	}
	for _, n := range needs() {
		for _, p := range n.debian {
			if !slices.Contains([]string{"chromium", "nodejs", "npm"}, p) && !strings.Contains(text, " "+p) { // those are on the runner
				t.Errorf("%s (%s) is not installed", n.what, p)
			}
		}
	}
	for _, path := range []string{".github/dependabot.yml", ".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/idea.yml", ".github/ISSUE_TEMPLATE/config.yml"} {
		var any map[string]any
		if err := yaml.Unmarshal([]byte(read(t, path)), &any); err != nil || len(any) == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestTaskfileNeedsNothing: it runs by `go run` on a machine that has no task in its PATH,
// and leaves alone the file that its output goes to.
func TestTaskfileNeedsNothing(t *testing.T) {
	text := read(t, "Taskfile.yml")
	for _, unwanted := range []string{
		`(?m)^ *- (cmd: )?task `,     // the program; `- task: name` is one of our own
		`/dev/stderr`, `/dev/stdout`, // opened again, a file is truncated
	} {
		if found := regexp.MustCompile(unwanted).FindString(text); found != "" {
			t.Errorf("Taskfile.yml has %q", found)
		}
	}
	if !strings.Contains(text, "{{.TASK_EXE}} --list") {
		t.Error("without arguments it lists nothing")
	}
}
