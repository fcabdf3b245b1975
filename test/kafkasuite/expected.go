package kafkasuite

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// outcome is what became of a test.
type outcome string

const (
	passes  outcome = "passes"
	aborts  outcome = "aborts"   // it asked for what there is none of
	fails   outcome = "fails"    // it found Sluice to differ
	leftOut outcome = "left-out" // its class, or it, was not run
)

// line of the list: the outcome of one test, or of all tests of a class if method is empty, and why it does not pass.
type line struct {
	outcome outcome
	class   string
	method  string // with [N] for one run of several, or empty
	reason  string
	used    bool
}

func (l *line) name() string {
	if l.method == "" {
		return l.class
	}
	return l.class + "#" + l.method
}

// unexplained is the reason of lines that were written by the driver and not judged by anybody.
const unexplained = "?"

// list is the file of expected outcomes: OUTCOME CLASS[#METHOD[INDEX]]: REASON, and comments with #.
type list map[string]*line

func readList(file string) (list, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := list{}
	for n, row := range strings.Split(string(text), "\n") {
		if row == "" || row[0] == '#' {
			continue
		}
		head, reason, _ := strings.Cut(row, ": ")
		what, name, ok := strings.Cut(head, " ")
		class, method, _ := strings.Cut(name, "#")
		l := &line{outcome: outcome(what), class: class, method: method, reason: reason}
		if !ok || reason == "" || !slices.Contains([]outcome{aborts, fails, leftOut}, l.outcome) {
			return nil, fmt.Errorf("%s:%d: %q: want aborts, fails or left-out, CLASS or CLASS#METHOD, a colon and the reason", file, n+1, row)
		}
		if all[l.name()] != nil {
			return nil, fmt.Errorf("%s:%d: %s is named twice", file, n+1, l.name())
		}
		all[l.name()] = l
	}
	return all, nil
}

// find returns the line that speaks of a test, the most exact one first; nil if it is to pass.
func (all list) find(class, method string) *line {
	bare, _, _ := strings.Cut(method, "[")
	for _, name := range [...]string{class + "#" + method, class + "#" + bare, class} {
		if l := all[name]; l != nil {
			return l
		}
	}
	return nil
}

// check compares what was seen with the list, and returns what is wrong, in order.
func (all list) check(seen []result) []string {
	var wrong []string
	for _, r := range seen {
		l := all.find(r.class, r.method)
		switch {
		case l == nil && r.outcome != passes:
			wrong = append(wrong, fmt.Sprintf("%s#%s %s: %s", r.class, r.method, r.outcome, r.why))
		case l == nil:
		case l.outcome != r.outcome:
			l.used = true
			wrong = append(wrong, fmt.Sprintf("%s#%s %s, and %s was expected (%s): %s", r.class, r.method, r.outcome, l.outcome, l.reason, r.why))
		case l.reason == unexplained:
			l.used = true
			wrong = append(wrong, fmt.Sprintf("%s#%s %s, and the list does not say why: %s", r.class, r.method, r.outcome, r.why))
		case l.outcome == aborts && l.reason != r.why:
			l.used = true
			wrong = append(wrong, fmt.Sprintf("%s#%s aborts because it %s, and not because it %s", r.class, r.method, r.why, l.reason))
		default:
			l.used = true
		}
	}
	ran := map[string]bool{}
	for _, r := range seen {
		ran[r.class] = true
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if l := all[name]; ran[l.class] && !l.used {
			wrong = append(wrong, fmt.Sprintf("%s: the list says that it %s, and there is no such test", name, l.outcome))
		}
	}
	return wrong
}

// update makes the list say what was seen. Reasons of failures are kept, new ones are to be written.
func (all list) update(seen []result) {
	ran := map[string]bool{}
	byMethod := map[string][]result{}
	for _, r := range seen {
		bare, _, _ := strings.Cut(r.method, "[")
		ran[r.class] = true
		byMethod[r.class+"#"+bare] = append(byMethod[r.class+"#"+bare], r)
	}
	old := maps.Clone(all)
	maps.DeleteFunc(all, func(_ string, l *line) bool { return ran[l.class] && l.outcome != leftOut })
	for name, runs := range byMethod {
		alike := true
		for _, r := range runs {
			alike = alike && r.outcome == runs[0].outcome && (r.outcome != aborts || r.why == runs[0].why)
		}
		if alike {
			runs = runs[:1]
			_, runs[0].method, _ = strings.Cut(name, "#")
		}
		for _, r := range runs {
			if r.outcome == passes || r.outcome == leftOut {
				continue
			}
			l := &line{outcome: r.outcome, class: r.class, method: r.method, reason: r.why}
			if r.outcome == fails {
				l.reason = unexplained
				if was := old.find(r.class, r.method); was != nil && was.outcome == fails {
					l.reason = was.reason
				}
			}
			all[l.name()] = l
		}
	}
}

const listHead = `# What becomes of Apache Kafka's own tests here, other than that they pass. Each line: OUTCOME CLASS[#METHOD[INDEX]]: REASON
#   left-out  is not run
#   aborts    asks for what there is none of; the reason is the one that the test is given
#   fails     differs from Apache Kafka
# SLUICE_KAFKASUITE_WRITE=1 rewrites the lines of what was run and keeps the reasons of failures; new ones get a "?", which does not pass.
`

func (all list) write(file string) error {
	lines := slices.SortedFunc(maps.Values(all), func(a, b *line) int { return cmp.Compare(a.name(), b.name()) })
	var b strings.Builder
	b.WriteString(listHead)
	last := ""
	for _, l := range lines {
		if pkg := l.class[:strings.LastIndex(l.class, ".")]; pkg != last {
			fmt.Fprintf(&b, "\n# %s\n", pkg)
			last = pkg
		}
		fmt.Fprintf(&b, "%s %s: %s\n", l.outcome, l.name(), l.reason)
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
