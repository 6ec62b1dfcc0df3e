package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// saying is what page.js says.
type saying struct {
	Page   int    `json:"page"`
	Live   bool   `json:"live"`
	Status string `json:"status"`
	Name   string `json:"name"`
	ID     string `json:"id"`
	Seq    int64  `json:"seq"`
	Reason string `json:"reason"`
}

// screens are what pages have shown of what was committed.
type screens struct {
	writers int // the first pages are those that write

	mu         sync.Mutex
	commits    map[string]time.Time
	pages      []screen
	repeated   int
	outOfOrder int
	resets     int
	statuses   map[string]int // how often a page came to each
	requests   int64
	broken     error // what a page threw
}

type screen struct {
	live  bool
	last  int64 // seq
	shown map[string]time.Time
}

func newScreens(n, writers int) *screens {
	s := &screens{writers: writers, commits: map[string]time.Time{}, statuses: map[string]int{}, pages: make([]screen, n)}
	for i := range s.pages {
		s.pages[i].shown = map[string]time.Time{}
	}
	return s
}

func (s *screens) committed(id string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits[id] = at
}

// heard takes a line of a page's.
func (s *screens) heard(line []byte, at time.Time) {
	var said saying
	if err := json.Unmarshal(line, &said); err != nil || said.Page < 0 || said.Page >= len(s.pages) {
		s.broke(fmt.Errorf("a page says %.200q", line))
		return
	}
	s.note(said, at)
}

// broke takes what a page threw.
func (s *screens) broke(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = cmp.Or(s.broken, err)
}

// fault is the first of that.
func (s *screens) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// note takes what a page says.
func (s *screens) note(said saying, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.pages[said.Page]
	switch {
	case said.Live:
		p.live = true
	case said.Status != "":
		s.statuses[said.Status]++
	case said.Name == "reset":
		s.resets++
	case said.Name == "new-message":
		if _, again := p.shown[said.ID]; again {
			s.repeated++
			return
		}
		p.shown[said.ID] = at
		if said.Seq <= p.last {
			s.outOfOrder++
		}
		p.last = said.Seq
	}
}

// live is how many pages are.
func (s *screens) live() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pages {
		if p.live {
			n++
		}
	}
	return n
}

// waiting is how many messages that were committed before then are not on every screen.
func (s *screens) waiting(before time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.commits {
		if at.Before(before) && slices.ContainsFunc(s.pages, func(p screen) bool { return p.shown[id].IsZero() }) {
			n++
		}
	}
	return n
}

func (s *screens) asked(requests int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = requests
}

// seen is what screens come to.
type seen struct {
	messages, lost, repeated, outOfOrder int
	median, worst, worstWriter           time.Duration // from the commit to the screen, each page's
	requests                             float64       // a page
}

// add is the sum of what must be kept and the worst of the rest.
func (v *seen) add(o seen) {
	v.messages, v.lost, v.outOfOrder = v.messages+o.messages, v.lost+o.lost, v.outOfOrder+o.outOfOrder
	v.repeated, v.requests = max(v.repeated, o.repeated), max(v.requests, o.requests)
	v.median, v.worst, v.worstWriter = max(v.median, o.median), max(v.worst, o.worst), max(v.worstWriter, o.worstWriter)
}

func (s *screens) judge() seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := seen{messages: len(s.commits), repeated: s.repeated, outOfOrder: s.outOfOrder, requests: float64(s.requests) / float64(len(s.pages))}
	var waits []time.Duration // until the last screen has it
	for id, at := range s.commits {
		var last time.Duration
		missing := false
		for n, p := range s.pages {
			shown := p.shown[id]
			if shown.IsZero() {
				missing = true
				continue
			}
			wait := max(0, shown.Sub(at))
			last = max(last, wait)
			if n < s.writers {
				v.worstWriter = max(v.worstWriter, wait)
			}
		}
		if missing {
			v.lost++
		}
		waits = append(waits, last)
	}
	if len(waits) > 0 {
		slices.SortFunc(waits, cmp.Compare)
		v.median, v.worst = waits[len(waits)/2], waits[len(waits)-1]
	}
	return v
}

// wrong says what a page must never do, and did.
func (v seen) wrong() (out []string) {
	for _, c := range []struct {
		broken bool
		what   string
	}{
		{v.lost > 0, fmt.Sprintf("%d messages were not on every screen", v.lost)},
		{v.repeated > 0, fmt.Sprintf("%d were shown twice", v.repeated)},
		{v.outOfOrder > 0, fmt.Sprintf("%d were shown out of order", v.outOfOrder)},
		{v.worst > onlookWithin, fmt.Sprintf("the last screen showed one after %.0f s", v.worst.Seconds())},
		{v.worstWriter > writersWithin, fmt.Sprintf("a page that writes showed one after %.0f s", v.worstWriter.Seconds())},
	} {
		if c.broken {
			out = append(out, c.what)
		}
	}
	return out
}

// printScreens writes the table of what pages showed.
func printScreens(w io.Writer, results []result) {
	fmt.Fprintf(w, "\n| with %d pages that write and %d that look on | messages | lost | repeated | out of order | seconds until on every screen, median | worst | worst of a page that writes | requests a page |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n", writerPages, onlookerPages)
	for _, r := range results {
		if v := r.seen; v != nil {
			fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %.1f | %.1f | %.1f | %.0f |\n",
				r.fault, v.messages, v.lost, v.repeated, v.outOfOrder, v.median.Seconds(), v.worst.Seconds(), v.worstWriter.Seconds(), v.requests)
		}
	}
}
