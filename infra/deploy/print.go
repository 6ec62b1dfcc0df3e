package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"roomcast/shared/terminal"
)

// String is the plan for a human to agree to: + is new, ~ is changed, - goes, = stays.
func (p plan) String() string {
	var out strings.Builder
	line := func(mark, what, format string, args ...any) {
		fmt.Fprintf(&out, "  %s %-10s %s\n", mark, what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&out, "Plan for %s in %s: version %s, image %s\n", p.app, p.region, short(p.version), digestOf(p.image))
	if p.createApp {
		line("+", "app", "%s, in organization %s", p.app, p.org)
	}
	for _, kind := range p.addresses {
		line("+", "address", "%s", kind)
	}
	if p.push {
		line("+", "image", "push")
	}
	if len(p.secrets) > 0 {
		line("~", "secrets", "set %s", strings.Join(p.secrets, ", "))
	}
	if len(p.foreign) > 0 {
		line("=", "secrets", "leave alone %s, which are on Fly only", strings.Join(p.foreign, ", "))
	}
	for _, s := range p.steps {
		line(s.mark(), "machine", "%s", s)
	}
	return out.String()
}

func (s step) mark() string {
	switch s.action {
	case create:
		return "+"
	case destroy:
		return "-"
	case keep:
		return "="
	}
	return "~"
}

// String names the machine and says what happens to it and why.
func (s step) String() string {
	name := fmt.Sprint(s.slot)
	if s.machine != nil {
		name = fmt.Sprintf("%s %s (%s)", strings.TrimPrefix(name, "0"), s.machine.ID, s.machine.State)
	}
	text := strings.TrimSpace(name) + ": " + string(s.action)
	if len(s.why) > 0 {
		text += ": " + strings.Join(s.why, ", ")
	}
	return text
}

// short is a commit or digest as humans read it.
func short(s string) string {
	rest := ""
	if base, ok := strings.CutSuffix(s, "-dirty"); ok {
		s, rest = base, "-dirty"
	}
	return s[:min(len(s), 12)] + rest
}

func digestOf(image string) string {
	_, digest, ok := strings.Cut(image, "@sha256:")
	if !ok {
		return image
	}
	return "sha256:" + short(digest)
}

// progress writes one line per thing done, with the time since the start. A machine's log
// may repeat what chat users wrote.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

func newProgress(out io.Writer) *progress { return &progress{out: out, start: time.Now()} }

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "%6.1fs  %s\n", time.Since(p.start).Seconds(), terminal.Clean(fmt.Sprintf(format, args...)))
}
