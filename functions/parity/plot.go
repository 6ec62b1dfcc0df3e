package parity

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// svg collects a drawing. Coordinates are in user units with one decimal; colours and
// fonts are the sheet's, by class.
type svg struct{ strings.Builder }

func (s *svg) draw(format string, args ...any) { fmt.Fprintf(&s.Builder, format, args...) }

func (s *svg) line(class string, x1, y1, x2, y2 float64) {
	s.draw(`<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

// text writes a label, which must hold no markup.
func (s *svg) text(class, anchor string, x, y float64, label string) {
	s.draw(`<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`, class, anchor, x, y, label)
}

func (s *svg) bar(class string, x, y, w, h float64) {
	if h > 0 {
		s.draw(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, class, x, y, w, h)
	}
}

// The histogram's panel.
const (
	panelWidth, panelHeight = 390.0, 206.0
	panelLeft, panelRight   = 34.0, 6.0
	panelTop, panelBottom   = 30.0, 24.0
)

// histogramPlot holds the scales that two panels share.
type histogramPlot struct {
	first, last int     // the buckets shown
	top, step   float64 // shares of the messages: at the upper end, between two lines
}

func newHistogramPlot(sides ...Delays) histogramPlot {
	h := histogramPlot{first: Buckets, last: 0}
	for _, d := range sides {
		for i, n := range d.Histogram {
			if n > 0 {
				h.first, h.last = min(h.first, i), max(h.last, i)
				h.top = max(h.top, float64(n)/float64(d.Count))
			}
		}
	}
	// A bucket of air on both sides, and no fewer than would fill a panel.
	h.first, h.last = max(h.first-1, 0), min(h.last+1, Buckets-1)
	for h.last-h.first < 9 {
		h.first, h.last = max(h.first-1, 0), min(h.last+1, Buckets-1)
	}
	h.step = gridStep(h.top)
	h.top = math.Ceil(h.top/h.step) * h.step
	return h
}

// gridStep gives three to five lines up to top.
func gridStep(top float64) float64 {
	for _, step := range []float64{0.02, 0.05, 0.1} {
		if top/step <= 4.5 {
			return step
		}
	}
	return 0.25
}

// x places a delay in milliseconds: the axis is logarithmic, bucket i ends at i.
func (h histogramPlot) x(ms float64) float64 {
	at := (2*math.Log2(max(ms, 0.5)) - float64(h.first-1)) / float64(h.last-h.first+1)
	return panelLeft + min(max(at, 0), 1)*(panelWidth-panelLeft-panelRight)
}

func (h histogramPlot) y(share float64) float64 {
	return panelHeight - panelBottom - share/h.top*(panelHeight-panelTop-panelBottom)
}

func (h histogramPlot) draw(name, bar string, d Delays) raw {
	var s svg
	s.draw(`<svg class="plot" viewBox="0 0 %.0f %.0f" role="img" aria-label="Delays of %s: median %s, 95 %% within %s">`,
		panelWidth, panelHeight, name, millis(d.P50), millis(d.P95))
	for share := h.step; share <= h.top+1e-9; share += h.step {
		s.line("grid", panelLeft, h.y(share), panelWidth-panelRight, h.y(share))
		s.text("", "end", panelLeft-7, h.y(share)+3.8, fmt.Sprintf("%.0f %%", share*100))
	}
	for i := h.first; i <= h.last; i++ {
		if d.Count > 0 {
			left, right := h.x(math.Exp2(float64(i-1)/2)), h.x(math.Exp2(float64(i)/2))
			y := h.y(float64(d.Histogram[i]) / float64(d.Count))
			s.bar(bar, left+0.75, y, right-left-1.5, h.y(0)-y)
		}
	}
	s.line("base", panelLeft, h.y(0), panelWidth-panelRight, h.y(0))
	h.ticks(&s)
	if d.Count > 0 {
		h.quantiles(&s, d)
	} else {
		s.text("", "middle", (panelLeft+panelWidth)/2, panelHeight/2, "nothing timed")
	}
	s.draw(`</svg>`)
	return raw(s.String())
}

// ticks labels the axis: decades, and 2 and 5 between them where there is room.
func (h histogramPlot) ticks(s *svg) {
	factors := []float64{1, 2, 5}
	if h.last-h.first > 12 {
		factors = []float64{1, 3}
	}
	for decade := 1.0; decade <= 10000; decade *= 10 {
		for _, f := range factors {
			ms := decade * f
			if at := 2 * math.Log2(ms); at < float64(h.first-1) || at > float64(h.last) {
				continue
			}
			label := fmt.Sprintf("%.0f ms", ms)
			if ms >= 1000 {
				label = fmt.Sprintf("%.0f s", ms/1000)
			}
			s.line("base", h.x(ms), h.y(0), h.x(ms), h.y(0)+4)
			s.text("", "middle", min(h.x(ms), panelWidth-16), h.y(0)+17, label)
		}
	}
}

// quantiles marks the median and p95; their labels stand on two lines where one would
// run into the other.
func (h histogramPlot) quantiles(s *svg, d Delays) {
	label := func(q string, v, y float64) {
		text := q + " " + millis(v)
		anchor, x := "start", h.x(v)+5
		if x+7.3*float64(len(text)) > panelWidth { // about what its letters take
			anchor, x = "end", h.x(v)-5
		}
		s.text("qt", anchor, x, y, text)
	}
	s.line("q", h.x(d.P50), 4, h.x(d.P50), h.y(0))
	s.line("q q95", h.x(d.P95), 17, h.x(d.P95), h.y(0))
	label("median", d.P50, 12)
	label("p95", d.P95, 26)
}

// The course of the hours.
const (
	courseWidth, courseHeight = 804.0, 190.0
	courseLine                = 118.0 // where above and below meet
	courseTop, courseBottom   = 14.0, 22.0
)

// drawHours shows what was compared in each hour, and below the line what one side
// lost, by the square root: one loss among thousands must still be seen.
func drawHours(hours []Hour) raw {
	var most, worst int64
	for _, h := range hours {
		most, worst = max(most, h.Compared), max(worst, h.OnlyPusher+h.OnlySupabase)
	}
	var s svg
	s.draw(`<svg class="plot course" viewBox="0 0 %.0f %.0f" role="img" aria-label="Events compared and lost, hour by hour">`, courseWidth, courseHeight)
	width := min(courseWidth/float64(len(hours)), 44) // a few hours are bars, not walls
	gap := min(1.5, width*0.2)
	for i, h := range hours {
		x := float64(i) * width
		if most > 0 {
			height := float64(h.Compared) / float64(most) * (courseLine - courseTop)
			s.bar("bm", x+gap/2, courseLine-height, width-gap, height)
		}
		if worst > 0 {
			depth := courseHeight - courseBottom - courseLine - 4
			ours := math.Sqrt(float64(h.OnlySupabase)/float64(worst)) * depth
			theirs := math.Sqrt(float64(h.OnlyPusher+h.OnlySupabase)/float64(worst))*depth - ours
			s.bar("bl", x+gap/2, courseLine+2, width-gap, ours)
			s.bar("bs", x+gap/2, courseLine+2+ours, width-gap, theirs)
		}
		if label, ok := hourLabel(h.Start, len(hours)); ok && x < courseWidth-30 {
			s.line("base", x, courseLine, x, courseLine+5)
			s.text("", "start", x, courseHeight-5, label)
		}
	}
	s.line("base", 0, courseLine, courseWidth, courseLine)
	if most > 0 {
		s.text("", "start", 0, courseTop-4, "at most "+number(most)+" in an hour")
	}
	if worst > 0 {
		s.text("", "end", courseWidth, courseTop-4, "at most "+number(worst)+" lost in an hour")
	}
	s.draw(`</svg>`)
	return raw(s.String())
}

// hourLabel says what to write under an hour: the day at midnight, or in a short window
// every third hour, or second.
func hourLabel(start time.Time, shown int) (string, bool) {
	switch {
	case start.Hour() == 0:
		return start.Format("2 Jan"), shown <= 9*24 || start.Day()%2 == 1
	case shown <= 12:
		return start.Format("15:04"), start.Hour()%2 == 0 || shown <= 2
	case shown <= 36:
		return start.Format("15:04"), start.Hour()%3 == 0
	}
	return "", false
}
