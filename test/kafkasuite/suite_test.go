package kafkasuite

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/test/broker"
)

// short is what runs without being asked for: a producer and a tool.
var short = []string{
	"org.apache.kafka.clients.producer.ProducerCompressionTest",
	"org.apache.kafka.tools.DeleteRecordsCommandTest",
}

// classMax bounds the run of one class; each of its tests is bounded by JUnit.
const classMax = 40 * time.Minute

func TestKafkasOwnTests(t *testing.T) {
	dir := filepath.Join(broker.Root(), "test", "kafkasuite")
	cache := filepath.Join(broker.Root(), ".cache", "kafkasuite")
	if out, err := exec.Command(filepath.Join(dir, "kafkasuite"), "fetch").CombinedOutput(); err != nil {
		t.Fatalf("fetch the tests: %v\n%s", err, out)
	}
	listed := filepath.Join(dir, "expected.txt")
	expected, err := readList(listed)
	if err != nil {
		t.Fatal(err)
	}
	want := os.Getenv("SLUICE_KAFKASUITE")
	known := map[string]bool{}
	var seen []result
	for _, jar := range append(slices.Clone(jars), "core") {
		classes := core
		if jar != "core" {
			if classes, err = classesOf(filepath.Join(cache, "libs"), jar); err != nil {
				t.Fatal(err)
			}
		}
		for _, class := range classes {
			known[class] = true
			if l := expected[class]; l != nil && l.outcome == leftOut {
				seen = append(seen, result{class: class, outcome: leftOut, why: l.reason})
				continue
			}
			method, ok := wanted(want, class)
			if !ok {
				continue
			}
			t.Run(class, func(t *testing.T) {
				start := time.Now()
				var got []result
				if want == fromReports {
					got = lastReport(t, cache, class)
				} else {
					got = runClass(t, filepath.Join(dir, "kafkasuite"), cache, class, method)
				}
				t.Logf("%s, %v", countsOf(got), time.Since(start).Round(time.Second))
				if write {
					expected.update(got)
					if err := expected.write(listed); err != nil {
						t.Fatal(err)
					}
				} else if method == "" {
					for _, wrong := range expected.check(got) {
						t.Error(wrong)
					}
				} else {
					for _, r := range got {
						t.Logf("%s#%s %s: %s", r.class, r.method, r.outcome, r.why)
					}
				}
				seen = append(seen, got...)
			})
		}
	}
	for name, l := range expected {
		if !known[l.class] {
			t.Errorf("%s: no jar has such a class", name)
		}
	}
	t.Logf("all: %s", countsOf(seen))
	if write {
		writeDocs(t, filepath.Join(cache, "reports"), known, expected)
	}
}

// wanted says whether a class is to run, and which method if it is one alone.
func wanted(want, class string) (method string, ok bool) {
	switch want {
	case "":
		return "", slices.Contains(short, class)
	case "all", fromReports:
		return "", true
	}
	for one := range strings.SplitSeq(want, ",") {
		name, method, _ := strings.Cut(one, "#")
		if strings.Contains(class, name) {
			return method, true
		}
	}
	return "", false
}

// fromReports judges the last report of each class, without a run.
const fromReports = "reports"

// lastReport returns what the last report of a class holds.
func lastReport(t *testing.T, cache, class string) []result {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(cache, "reports", class+".xml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readReport(text)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// write says that what is seen goes into the list and the page.
var write = os.Getenv("SLUICE_KAFKASUITE_WRITE") != ""

var settingName = regexp.MustCompile(`(?m)^(?:# )?([a-z0-9.-]+) = `)

// runClass runs the tests of one class in a JVM and returns what became of them. The JVM's process group is ended with it, brokers included.
func runClass(t *testing.T, script, cache, class, method string) []result {
	t.Helper()
	binary := broker.Binary(t)
	config, err := exec.Command(binary, "config").Output()
	if err != nil {
		t.Fatalf("sluice config: %v", err)
	}
	var settings []string
	for _, m := range settingName.FindAllStringSubmatch(string(config), -1) {
		settings = append(settings, m[1])
	}
	out := filepath.Join(cache, "out")
	for _, dir := range []string{out, filepath.Join(cache, "reports")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(out, class+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	reports := t.TempDir()
	args := []string{"run", reports, "--select-class", class}
	if method != "" {
		args = append(args, "--include-methodname", `.*#(`+strings.ReplaceAll(regexp.QuoteMeta(method), `\+`, "|")+`)(\(.*)?`)
	}
	ctx, cancel := context.WithTimeout(context.Background(), classMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, script, args...)
	cmd.Env = append(os.Environ(), "SLUICE_BINARY="+binary, "SLUICE_SETTINGS="+strings.Join(settings, ","))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	runtime.LockOSThread() // the JVM is told to die with the thread that started it
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // brokers that a test left behind
	}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) { // 1: tests have failed
		t.Fatalf("JUnit: %v; see %s", err, log.Name())
	}
	text, err := os.ReadFile(filepath.Join(reports, "TEST-junit-jupiter.xml"))
	if err != nil {
		t.Fatalf("%v; see %s", err, log.Name())
	}
	got, err := readReport(text)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(cache, "reports", class+".xml")
	if method != "" {
		old, err := os.ReadFile(report)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if text, err = merged(old, text); err != nil {
			t.Fatal(err)
		}
	}
	if method == "" || write {
		if err := os.WriteFile(report, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) == 0 {
		t.Errorf("no test ran; see %s", log.Name())
	}
	return got
}
