package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// panel is one half of the plot: costs, by the number that grows.
type panel struct {
	title  string
	across []int
	curves []*curve
}

type curve struct {
	name  string
	costs []time.Duration // one for each of the panel's numbers
}

func (p *panel) add(name string, cost time.Duration) {
	for _, c := range p.curves {
		if c.name == name {
			c.costs = append(c.costs, cost)
			return
		}
	}
	p.curves = append(p.curves, &curve{name, []time.Duration{cost}})
}

// The plot's measures, in pixels. Both axes are logarithmic: a cost that does not grow is
// a level line, one that grows as much as the chat is a steep one.
const (
	plotWidth, plotHeight  = 900, 460
	plotLeft, plotTop      = 70, 50
	panelWidth, panelLow   = 280, 380
	panelGap               = 420
	lowestCost, highestExp = 1, 4 // from 1 µs to 10 ms
)

// draw writes an SVG that needs nothing else, readable on white and on black.
func draw(caption string, panels ...panel) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#808080">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="%d" y="20">cost of one, as the chat grows (both axes logarithmic)</text>`+"\n", plotLeft)
	fmt.Fprintf(&b, `<text x="%d" y="36" font-size="10">%s</text>`+"\n", plotLeft, caption)
	for i, p := range panels {
		p.draw(&b, plotLeft+i*panelGap)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (p *panel) draw(b *strings.Builder, left int) {
	for e := range highestExp + 1 {
		y := costY(time.Duration(math.Pow10(e)) * time.Microsecond)
		fmt.Fprintf(b, `<path d="M%d %.0fh%d" stroke="#808080" stroke-opacity=".3"/><text x="%d" y="%.0f" text-anchor="end">%s</text>`+"\n",
			left, y, panelWidth, left-6, y+4, []string{"1 µs", "10 µs", "100 µs", "1 ms", "10 ms"}[e])
	}
	x := func(i int) float64 {
		from, to := math.Log(float64(p.across[0])), math.Log(float64(p.across[len(p.across)-1]))
		return float64(left) + 10 + (panelWidth-20)*(math.Log(float64(p.across[i]))-from)/(to-from)
	}
	for i, n := range p.across {
		fmt.Fprintf(b, `<text x="%.0f" y="%d" text-anchor="middle">%s</text>`+"\n", x(i), panelLow+18, count(n))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", left+panelWidth/2, panelLow+36, p.title)
	colors := []string{"#4269d0", "#9498a0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#97bbf5"}
	for i, c := range p.curves {
		color := colors[i%len(colors)]
		var points []string
		for k, cost := range c.costs {
			points = append(points, fmt.Sprintf("%.0f,%.0f", x(k), costY(cost)))
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), color)
		if left == plotLeft { // the key, once
			fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", plotLeft+(i%3)*280, panelLow+54+(i/3)*16, color, c.name)
		}
	}
}

// costY is how far down a cost stands.
func costY(cost time.Duration) float64 {
	share := math.Log10(max(float64(cost)/float64(time.Microsecond), lowestCost)) / highestExp
	return panelLow - (panelLow-plotTop)*min(share, 1)
}
