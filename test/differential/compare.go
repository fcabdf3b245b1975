package differential

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/test/twin"
	"sluice/wire/msg"
)

// pair is both brokers.
type pair struct {
	targets [2]*twin.Target // Kafka, Sluice
	schemas map[int16]schema
	meant   []*entry

	answerMax time.Duration // how long a broker may take for an answer

	mu struct {
		sync.Mutex
		runs int
		idle [][2]*fence
		seen map[string]int // requests compared, by name
	}
}

// begin names a sequence and gives it fences, which end gives back.
func (p *pair) begin() (prefix string, fences [2]*fence, err error) {
	p.mu.Lock()
	p.mu.runs++
	prefix = fmt.Sprintf("d%d-", p.mu.runs)
	if n := len(p.mu.idle); n > 0 {
		fences, p.mu.idle = p.mu.idle[n-1], p.mu.idle[:n-1]
		p.mu.Unlock()
		return prefix, fences, nil
	}
	p.mu.Unlock()
	for i, target := range p.targets {
		if fences[i], err = newFence(target, prefix); err != nil {
			return "", fences, err
		}
	}
	return prefix, fences, nil
}

func (p *pair) end(fences [2]*fence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.idle = append(p.mu.idle, fences)
}

// finding is the first difference of a sequence that is not meant.
type finding struct {
	steps []step // up to the one that differs
	diffs []twin.Difference
}

var index = regexp.MustCompile(`\[[^\]]*\]`)

// signature says what kind of difference it is.
func (f *finding) signature() string {
	last := f.steps[len(f.steps)-1]
	d := f.diffs[0]
	k, s := d.Kafka, d.Sluice
	if d.Path == "" {
		k, s = beforeEquals(k), beforeEquals(s)
	}
	return fmt.Sprintf("%s %s: kafka %q, sluice %q", msg.Name(last.Key), index.ReplaceAllString(d.Path, "[]"), k, s)
}

// beforeEquals keeps errors and drops what an answer holds.
func beforeEquals(s string) string {
	before, _, _ := strings.Cut(s, "=")
	return before
}

func (f *finding) String() string {
	var b strings.Builder
	for _, d := range f.diffs[:min(len(f.diffs), 12)] {
		fmt.Fprintf(&b, "\t%s\n", d)
	}
	for _, st := range f.steps {
		fmt.Fprintf(&b, "%s\n", encodeStep(st))
	}
	return b.String()
}

// sequence takes steps with both brokers and returns the first difference that is not meant, nil if there is none.
func (p *pair) sequence(steps []step) (*finding, error) {
	prefix, fences, err := p.begin()
	if err != nil {
		return nil, err
	}
	defer p.end(fences)
	var answers [2][]lines
	var errs [2]error
	var wg sync.WaitGroup
	for i, target := range p.targets {
		wg.Go(func() {
			r := newRunner(target, p.schemas, fences[i], prefix)
			r.answerMax = p.answerMax
			defer r.close()
			answers[i], errs[i] = r.all(steps)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s: %w, in\n%s", p.targets[i].Name, err, (&finding{steps: steps}).String())
		}
	}
	return p.judge(steps, answers), nil
}

func (r *runner) all(steps []step) (out []lines, err error) {
	if err := r.prepare(); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	for _, st := range steps {
		answer, err := r.take(st)
		if err != nil {
			return nil, err
		}
		out = append(out, answer)
		if changed(st) {
			if err := r.fence.pass(); err != nil {
				return nil, err
			}
		}
	}
	return out, r.tidy()
}

// tidy deletes the topics of the sequence.
func (r *runner) tidy() error {
	c, err := r.on()
	if err != nil {
		return err
	}
	answer, err := c.Ask(9, &msg.MetadataRequest{})
	if err != nil {
		return err
	}
	req := &msg.DeleteTopicsRequest{TimeoutMs: 30_000}
	for _, t := range answer.(*msg.MetadataResponse).Topics {
		if t.Name != nil && strings.HasPrefix(*t.Name, r.prefix) {
			req.TopicNames = append(req.TopicNames, *t.Name)
		}
	}
	_, err = c.Ask(5, req)
	return err
}

// judge compares step by step.
func (p *pair) judge(steps []step, answers [2][]lines) *finding {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, st := range steps {
		p.mu.seen[msg.Name(st.Key)]++
		var left []twin.Difference
		ends, covered := false, false
		for _, d := range twin.Compare(answers[0][i], answers[1][i]) {
			e := p.excuse(st, d)
			if e == nil {
				left = append(left, d)
			} else {
				ends, covered = ends || e.ends, covered || e.covers
			}
		}
		if covered {
			left = nil
		}
		if (ends || p.parts(st, answers[0][i], answers[1][i])) && len(left) == 0 {
			return nil
		}
		if len(left) > 0 {
			return &finding{steps: slices.Clone(steps[:i+1]), diffs: left}
		}
	}
	return nil
}

// parts reports whether something that both have answered leaves them in different states.
func (p *pair) parts(st step, kafka, sluice lines) bool {
	for _, e := range p.meant {
		for path, value := range kafka {
			if e.same && sluice[path] == value && e.matches(st, twin.Difference{Path: path, Kafka: value, Sluice: value}) {
				e.seen++
				return true
			}
		}
	}
	return false
}

func (p *pair) excuse(st step, d twin.Difference) *entry {
	for _, e := range p.meant {
		if !e.same && e.matches(st, d) {
			e.seen++
			return e
		}
	}
	return nil
}

// shrink leaves out what is not needed for the difference: steps, then elements and fields of the last request.
func (p *pair) shrink(f *finding, runsMax int) *finding {
	want := f.signature()
	stays := func(steps []step) *finding {
		if runsMax--; runsMax < 0 {
			return nil
		}
		g, err := p.sequence(steps)
		if err != nil || g == nil || len(g.steps) != len(steps) || g.signature() != want {
			return nil
		}
		return g
	}
	for i := len(f.steps) - 2; i >= 0; i-- {
		if i >= len(f.steps)-1 {
			continue
		}
		if g := stays(slices.Delete(slices.Clone(f.steps), i, i+1)); g != nil {
			f = g
		}
	}
	for again := true; again; {
		again = false
		last := f.steps[len(f.steps)-1]
		for _, body := range smaller(last.Body) {
			st := last
			st.Body = body
			if g := stays(append(slices.Clone(f.steps[:len(f.steps)-1]), st)); g != nil {
				f, again = g, true
				break
			}
		}
	}
	return f
}

// smaller lists trees with one thing less.
func smaller(v tree) (out []tree) {
	switch x := v.(type) {
	case object:
		if _, special := x["$"]; special {
			return nil
		}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			without := maps.Clone(x)
			delete(without, k)
			if k[0] >= 'A' && k[0] <= 'Z' && k != "GroupId" || k == "?tags" { // a group without a name is everybody's
				out = append(out, without)
			}
			for _, s := range smaller(x[k]) {
				with := maps.Clone(x)
				with[k] = s
				out = append(out, with)
			}
		}
	case []any:
		for i := range x {
			out = append(out, slices.Delete(slices.Clone(x), i, i+1))
		}
		for i := range x {
			for _, s := range smaller(x[i]) {
				with := slices.Clone(x)
				with[i] = s
				out = append(out, with)
			}
		}
	}
	return out
}
