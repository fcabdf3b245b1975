package timeline

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Write writes name.html and name.json into a directory and returns the path of the page.
func (r *Run) Write(dir, name string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644); err != nil {
		return "", err
	}
	var b strings.Builder
	r.page(&b)
	path := filepath.Join(dir, name+".html")
	return path, os.WriteFile(path, []byte(b.String()), 0o644)
}

const style = `body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1180px;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse}td,th{padding:.25em .7em;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}
.pass{color:#176f2c;font-weight:600}.fail{color:#b00020;font-weight:600}.unknown{color:#8a6d00;font-weight:600}
svg text{font:11px system-ui,sans-serif;fill:#555}pre{background:#f6f6f6;padding:.7em;overflow:auto;max-height:30em}.n{text-align:right}`

func esc(format string, args ...any) string { return html.EscapeString(fmt.Sprintf(format, args...)) }

// page writes the report as HTML.
func (r *Run) page(w io.Writer) {
	fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title><style>%s</style>\n", esc("%s", r.Title), style)
	fmt.Fprintf(w, "<h1>%s: <span class=\"%s\">%s</span></h1>\n<p>%s, %v</p>\n", esc("%s", r.Title), r.Verdict, r.Verdict,
		r.Began.UTC().Format("2006-01-02 15:04 UTC"), r.Length.Round(time.Second))
	r.plots(w)
	fmt.Fprint(w, "<h2>Guarantees</h2>\n<table><tr><th><th>Promise<th>Verdict<th>Rests on\n")
	for _, g := range r.Guarantees {
		fmt.Fprintf(w, "<tr><td>%s<td>%s<td class=\"%s\">%s<td>", esc("%s", g.ID), esc("%s", g.Promise), g.Verdict, g.Verdict)
		for _, line := range g.Wrong {
			fmt.Fprintf(w, "<div class=\"fail\">%s</div>", esc("%s", line))
		}
		for _, line := range g.Missing {
			fmt.Fprintf(w, "<div class=\"unknown\">missing: %s</div>", esc("%s", line))
		}
		fmt.Fprintf(w, "%s\n", esc("%s", strings.Join(g.Shown, "; ")))
	}
	fmt.Fprint(w, "</table>\n")
	r.tables(w)
	if len(r.Notes) > 0 {
		fmt.Fprintf(w, "<h2>Notes</h2>\n<pre>%s</pre>\n", esc("%s", strings.Join(r.Notes, "\n")))
	}
	fmt.Fprint(w, "</html>\n")
}

func (r *Run) tables(w io.Writer) {
	fmt.Fprint(w, "<h2>Client stacks</h2>\n<table><tr><th>Stack<th>Operations that succeeded\n")
	for _, s := range r.Stacks {
		var words []string
		for _, what := range slices.Sorted(maps.Keys(s.Counts)) {
			words = append(words, fmt.Sprintf("%s %d", what, s.Counts[what]))
		}
		fmt.Fprintf(w, "<tr><td>%s<td>%s\n", esc("%s", s.Name), esc("%s", strings.Join(words, ", ")))
	}
	fmt.Fprint(w, "</table>\n<h2>Faults</h2>\n<table><tr><th>From<th>For<th>Family<th>Fault<th>Fired<th>Everything served again after\n")
	for _, b := range r.Bands {
		fired := "yes"
		if !b.Fired {
			fired = "no"
		}
		fmt.Fprintf(w, "<tr><td class=\"n\">%.1f s<td class=\"n\">%.1f s<td>%s<td>%s<td>%s<td class=\"n\">%.2f s\n", b.From.Seconds(), (b.To - b.From).Seconds(),
			esc("%s", b.Family), esc("%s", b.Name), fired, b.Served.Seconds())
	}
	fmt.Fprint(w, "</table>\n<h2>Run</h2>\n<table>\n")
	for _, k := range slices.Sorted(maps.Keys(r.Facts)) {
		fmt.Fprintf(w, "<tr><td>%s<td>%s\n", esc("%s", k), esc("%s", r.Facts[k]))
	}
	fmt.Fprint(w, "</table>\n")
}

// The size of a plot and its margins, in pixels.
const (
	plotWidth, plotHeight = 1140.0, 190.0
	plotLeft, plotBottom  = 60.0, 22.0
	plotTop               = 16.0
)

// line is one curve of a plot.
type line struct {
	name, color string
	at          func(Second) float64
}

var families = map[string]string{
	"process": "#e57373", "network": "#64b5f6", "bucket": "#ffb74d", "disk": "#ba68c8", "operator": "#81c784",
}

func (r *Run) plots(w io.Writer) {
	fmt.Fprint(w, "<h2>Timeline</h2>\n<p>Faults: ")
	for _, f := range slices.Sorted(maps.Keys(families)) {
		fmt.Fprintf(w, "<span style=\"background:%s;opacity:.6\">&nbsp;&nbsp;&nbsp;</span> %s &nbsp; ", families[f], f)
	}
	fmt.Fprint(w, "; point at a band to see its name.</p>\n")
	r.plot(w, "records per second", false, []line{
		{"produced", "#1565c0", func(s Second) float64 { return float64(s.Produced) }},
		{"consumed", "#2e7d32", func(s Second) float64 { return float64(s.Consumed) }},
	})
	r.plot(w, "from send to acknowledgement, ms (logarithmic)", true, []line{
		{"p50", "#1565c0", func(s Second) float64 { return s.P50 }},
		{"p99", "#c62828", func(s Second) float64 { return s.P99 }},
	})
}

// scale maps values to heights.
type scale struct {
	top float64
	log bool
}

func (s scale) y(v float64) float64 {
	share := v / s.top
	if s.log {
		share = math.Log10(1+v) / math.Log10(1+s.top)
	}
	return plotTop + (plotHeight-plotTop-plotBottom)*(1-share)
}

// plot draws curves over the seconds, with the faults behind them.
func (r *Run) plot(w io.Writer, title string, logarithmic bool, lines []line) {
	s := scale{1, logarithmic}
	for _, sec := range r.Seconds {
		for _, l := range lines {
			s.top = max(s.top, l.at(sec))
		}
	}
	length := max(r.Length.Seconds(), float64(len(r.Seconds)), 1)
	x := func(seconds float64) float64 { return plotLeft + (plotWidth-plotLeft-8)*min(seconds/length, 1) }
	fmt.Fprintf(w, "<svg viewBox=\"0 0 %.0f %.0f\" width=\"100%%\" role=\"img\">\n", plotWidth, plotHeight)
	for _, b := range r.Bands {
		from, to := x(b.From.Seconds()), x(b.To.Seconds())
		fmt.Fprintf(w, "<rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\" fill=\"%s\" opacity=\".35\"><title>%s</title></rect>\n",
			from, plotTop, max(to-from, 1), plotHeight-plotTop-plotBottom, families[b.Family], esc("%s (%s)", b.Name, b.Family))
	}
	for i := range 5 {
		v := s.top * float64(i) / 4
		if logarithmic {
			v = math.Pow(10, math.Log10(1+s.top)*float64(i)/4) - 1
		}
		fmt.Fprintf(w, "<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/><text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%.0f</text>\n",
			plotLeft, plotWidth-8, s.y(v), s.y(v), plotLeft-6, s.y(v)+4, v)
	}
	for i := range 11 {
		at := length * float64(i) / 10
		fmt.Fprintf(w, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%.0f s</text>\n", x(at), plotHeight-6, at)
	}
	fmt.Fprintf(w, "<text x=\"%.0f\" y=\"11\">%s</text>\n", plotLeft, esc("%s", title))
	for i, l := range lines {
		fmt.Fprintf(w, "<text x=\"%.0f\" y=\"11\" style=\"fill:%s\">%s</text>\n", plotLeft+320+float64(i)*90, l.color, esc("%s", l.name))
		fmt.Fprintf(w, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.3\" points=\"", l.color)
		for n, sec := range r.Seconds {
			fmt.Fprintf(w, "%.1f,%.1f ", x(float64(n)+.5), s.y(l.at(sec)))
		}
		fmt.Fprint(w, "\"/>\n")
	}
	fmt.Fprint(w, "</svg>\n")
}
