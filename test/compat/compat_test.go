package compat

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/s3test"
)

// clientMax bounds the run of one client program.
const clientMax = 8 * time.Minute

// place is where a broker keeps its data: one row for each WAL class.
type place struct {
	name  string
	start func(t *testing.T) (bootstrap string)
	java  []string // groups of checks with Kafka's own tools; none: all. What concerns metadata alone is the same everywhere.
}

func places() []place {
	if addr := os.Getenv("SLUICE_COMPAT_BOOTSTRAP"); addr != "" {
		return []place{{name: "given", start: func(*testing.T) string { return addr }}}
	}
	return []place{
		{name: "file", start: func(t *testing.T) string { return broker.Start(t, broker.Options{}).Addr }},
		{name: "s3", java: []string{"records"}, start: func(t *testing.T) string {
			// The default budget of four puts a second is made for money, not for clients that wait for each of a thousand records.
			return broker.Start(t, broker.Options{Bucket: s3test.Start(t), WAL: "s3", Args: []string{"--wal-s3-puts-per-second", "200"}}).Addr
		}},
	}
}

func TestClients(t *testing.T) {
	for _, p := range places() {
		t.Run(p.name, func(t *testing.T) {
			addr := p.start(t)
			t.Run("kcat", func(t *testing.T) { t.Parallel(); run(t, nil, "kcat/check.sh", addr) })
			t.Run("confluent-kafka-python", func(t *testing.T) {
				t.Parallel()
				run(t, nil, filepath.Join(broker.Root(), ".cache/venv/bin/python"), "python/check.py", addr)
			})
			t.Run("kafkajs", func(t *testing.T) { t.Parallel(); run(t, nil, "node", "nodejs/check.mjs", addr) })
			t.Run("sarama", func(t *testing.T) {
				t.Parallel()
				run(t, nil, buildIn(t, "sarama", "build", "."), addr)
			})
			t.Run("java", func(t *testing.T) { t.Parallel(); run(t, nil, "java/check.sh", append([]string{addr}, p.java...)...) })
			t.Run("franz-go", func(t *testing.T) {
				t.Parallel()
				const kgo = "github.com/twmb/franz-go/pkg/kgo"
				suite := buildIn(t, "franz", "test", "-c", kgo)
				env := []string{"KGO_SEEDS=" + addr, "KGO_TEST_RF=1", "KGO_TEST_RECORDS=50000", "KGO_LOG_LEVEL=none"}
				runIn(t, sourceOf(t, "franz", kgo), env, suite, "-test.v")
			})
		})
	}
}

// buildIn runs `go ARGS` in a module of its own below this folder and returns the binary it makes.
func buildIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), dir)
	args = append([]string{args[0], "-o", bin}, args[1:]...)
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %v in %s: %v\n%s", args, dir, err, out)
	}
	return bin
}

// sourceOf returns the folder of a package, as a module below this folder sees it.
func sourceOf(t *testing.T, dir, pkg string) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", "{{.Dir}}", pkg)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	return string(bytes.TrimSpace(out))
}

func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	runIn(t, "", env, name, args...)
}

// runIn starts a client program in a folder ("" is this one) and makes a subtest of every outcome it prints: `ok NAME`, `not ok NAME: why`, or a line of
// `go test -v`. A program that prints no outcome fails.
func runIn(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	passed := 0
	for s := bufio.NewScanner(bytes.NewReader(out.Bytes())); s.Scan(); {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "ok "):
			passed++
			t.Run(line[len("ok "):], func(*testing.T) {})
		case strings.HasPrefix(line, "not ok "):
			check, why, _ := strings.Cut(line[len("not ok "):], ": ")
			t.Run(check, func(t *testing.T) { t.Error(why) })
		case strings.HasPrefix(line, "--- PASS: "):
			passed++
			t.Run(strings.Fields(line)[2], func(*testing.T) {})
		case strings.HasPrefix(line, "--- FAIL: "):
			t.Run(strings.Fields(line)[2], func(t *testing.T) { t.Error("failed, see the output of the program") })
		}
	}
	if err != nil || passed == 0 || t.Failed() {
		t.Errorf("%s: %v, %d checks passed; its output ends with\n%s", filepath.Base(name), err, passed, tail(out.Bytes(), 12<<10))
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
