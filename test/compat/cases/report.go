package cases

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// The report stands between these lines of the page.
const (
	reportStart = "<!-- clients and features: written by SLUICE_COMPAT_WRITE=1 make compat -->"
	reportEnd   = "<!-- end of clients and features -->"
)

// render returns the report.
func render(clients []Client, seen results, listed []difference) string {
	var ran []Client
	total, ok := 0, 0
	for _, c := range clients {
		if seen[c.Name] == nil {
			continue
		}
		ran = append(ran, c)
		for _, v := range seen[c.Name] {
			if v != lacking {
				total++
			}
			if v == same {
				ok++
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "**%d cases of %d clients: %d are ok on Sluice and on Apache Kafka 4.3, %d differ.**\n\n", total, len(ran), ok, total-ok)
	b.WriteString("| client | what it is | cases | ok on both | differ |\n|---|---|---|---|---|\n")
	for _, c := range ran {
		all, good := count(seen[c.Name], "")
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d |\n", c.Name, c.About, all, good, all-good)
	}
	b.WriteString("\nCases that are ok on both brokers, for each feature; `-n`: so many differ; empty: the client lacks it, or no case asks for it.\n\n| feature |")
	for _, c := range ran {
		fmt.Fprintf(&b, " %s |", c.Name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(ran)) + "\n")
	for _, f := range features {
		renderFeature(&b, f, ran, seen)
	}
	b.WriteString("\n" + renderDifferences(ran, seen, listed))
	return b.String()
}

// count returns how many cases of a feature a client has, and how many are ok on both brokers. "" is all features.
func count(verdicts map[string]verdict, feature string) (all, ok int) {
	for name, v := range verdicts {
		if f, _, _ := strings.Cut(name, "/"); v == lacking || feature != "" && f != feature {
			continue
		}
		all++
		if v == same {
			ok++
		}
	}
	return all, ok
}

func renderFeature(b *strings.Builder, feature string, ran []Client, seen results) {
	row, any := "| "+feature+" |", false
	for _, c := range ran {
		all, ok := count(seen[c.Name], feature)
		switch {
		case all == 0:
			row += " |"
		case all == ok:
			row += fmt.Sprintf(" %d |", ok)
		default:
			row += fmt.Sprintf(" %d -%d |", ok, all-ok)
		}
		any = any || all > 0
	}
	if any {
		b.WriteString(row + "\n")
	}
}

// renderDifferences lists what differs, the same case of several clients as one line.
func renderDifferences(ran []Client, seen results, listed []difference) string {
	type line struct{ name, how, reason string }
	clients := map[line][]string{}
	for _, c := range ran {
		for name, v := range seen[c.Name] {
			if v == same || v == lacking {
				continue
			}
			l := line{name, string(v), reasonOf(listed, c.Name, name)}
			clients[l] = append(clients[l], c.Name)
		}
	}
	if len(clients) == 0 {
		return "No case differs.\n"
	}
	how := map[string]string{string(differs): "ok on Apache Kafka only", string(better): "ok on Sluice only", string(broken): "fails on both", string(otherwise): "answers differ"}
	var rows []string
	for l, who := range clients {
		slices.Sort(who)
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s |\n", l.name, how[l.how], strings.Join(who, ", "), l.reason))
	}
	slices.Sort(rows)
	return "| case that differs | how | clients | why |\n|---|---|---|---|\n" + strings.Join(rows, "")
}

// replaceReport returns the page with another report.
func replaceReport(page, report string) (string, error) {
	before, rest, ok := strings.Cut(page, reportStart)
	_, after, ok2 := strings.Cut(rest, reportEnd)
	if !ok || !ok2 {
		return "", fmt.Errorf("the page lacks the lines between which the report stands: %w", os.ErrInvalid)
	}
	return before + reportStart + "\n\n" + report + "\n" + reportEnd + after, nil
}
