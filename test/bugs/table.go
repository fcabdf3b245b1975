package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"sluice/base/seeded"
)

// outcome is what a layer made of a mistake.
type outcome struct {
	Found   bool
	Seeds   int    `json:",omitempty"` // of the simulation: until it was found, or all that were tried
	How     string `json:",omitempty"` // the test that failed, or the first thing that was wrong
	Seconds float64
}

func (o outcome) String() string {
	if !o.Found {
		return fmt.Sprintf("NOT found, %d seeds, %.0f s", o.Seeds, o.Seconds)
	}
	return fmt.Sprintf("found, %d seeds, %.0f s: %s", o.Seeds, o.Seconds, o.How)
}

// results are by mistake and layer.
type results map[seeded.Name]map[string]outcome

const (
	resultsFile = "test/bugs/results.json"
	page        = "docs/reliability.md"
	begin, end  = "<!-- seeded bugs: begin -->\n", "<!-- seeded bugs: end -->"
)

func (r *results) load() error {
	*r = results{}
	text, err := os.ReadFile(resultsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, r)
}

// set keeps an outcome, at once: a long run may be broken off.
func (r results) set(name seeded.Name, layer string, o outcome) error {
	if r[name] == nil {
		r[name] = map[string]outcome{}
	}
	r[name][layer] = o
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(resultsFile, append(text, '\n'), 0o644)
}

// write puts the table into the page.
func (r results) write(layers []string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(text, []byte(begin))
	_, foot, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the table of seeded bugs", page)
	}
	return os.WriteFile(page, []byte(string(head)+begin+r.table(layers)+end+string(foot)), 0o644)
}

// table is the block of the page. It says what was seen, and leaves a cell empty where a layer was not tried.
func (r results) table(layers []string) string {
	var b strings.Builder
	all, found, whole := 0, 0, 0
	var holes []string
	var rows strings.Builder
	for _, e := range seeded.All() {
		all++
		fmt.Fprintf(&rows, "| `%s`: %s | %s | `%s` |", e.Name, e.Does, e.Guarantee, strings.ReplaceAll(e.Place, ", ", "`, `"))
		byAny, byWhole := false, false
		for _, layer := range layers {
			o, tried := r[e.Name][layer]
			byAny = byAny || o.Found
			byWhole = byWhole || o.Found && layer != unit && layer != explore
			fmt.Fprintf(&rows, " %s |", o.cell(layer, tried))
		}
		rows.WriteString("\n")
		if byAny {
			found++
		} else {
			holes = append(holes, fmt.Sprintf("`%s`", e.Name))
		}
		if byWhole {
			whole++
		}
	}
	fmt.Fprintf(&b, "Of %d mistakes %d are found, %d of them by whole clusters, simulated or real. Empty: not tried.\n", all, found, whole)
	if len(holes) > 0 {
		fmt.Fprintf(&b, "Found by nothing yet: %s.\n", strings.Join(holes, ", "))
	}
	b.WriteString("\n")
	fmt.Fprintf(&b, "| mistake | promise | in | %s |\n|---|---|---|%s\n", strings.Join(layers, " | "), strings.Repeat("---|", len(layers)))
	return b.String() + rows.String()
}

func (o outcome) cell(layer string, tried bool) string {
	switch {
	case !tried:
		return ""
	case !o.Found && layer == sim:
		return fmt.Sprintf("not in %d seeds", o.Seeds)
	case !o.Found:
		return "no"
	case layer == sim && o.Seeds == 1:
		return "1 seed"
	case layer == sim:
		return fmt.Sprintf("%d seeds", o.Seeds)
	}
	_, test, _ := strings.Cut(o.How, " ")
	return fmt.Sprintf("%s, %.0f s", strings.ReplaceAll(test, "|", "/"), o.Seconds)
}
