package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// output collects what a command prints; it may be read while the command runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// run runs one command to its end.
func run(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs output
	code = Main(Process{Args: args, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

func TestWrongInputSaysWhatWouldBeRight(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.conf")
	os.WriteFile(bad, []byte("num.partitions = 3\nlisten: here\n"), 0o644)
	notADir := filepath.Join(dir, "file")
	os.WriteFile(notADir, nil, 0o644)
	for _, tc := range []struct {
		args string
		want string
	}{
		{"strat", `did you mean "start"? (see sluice --help)`},
		{"start --listen here", "setting listen = \"here\" (flag --listen): it is no HOST:PORT; want HOST:PORT"},
		{"start --bucket ftp://b", "unknown scheme \"ftp\"; want file://DIR, s3://BUCKET/PREFIX"},
		{"start --wal /tmp/x", "it has no scheme; want file://DIR"},
		{"start --memory 1MB", "it is too small; the smallest is 64MiB"},
		{"start --set nonsense", "--set nonsense: want NAME=VALUE"},
		{"start --set num.partition=1", "did you mean num.partitions?"},
		{"start --config " + bad, "bad.conf:2: \"listen: here\" is no setting; want key = value"},
		{"start --config /no/such/file", "--config: open /no/such/file"},
		{"start --listen 127.0.0.1:0 --admin off --data " + notADir, "setting data"},
		{"config --log-level loud", "want debug or info or warn or error"},
		{"topic create", `expected "<name> ..." (see sluice topic create --help)`},
		{"topic create x --partitions 0", "--partitions 0: want a number from 1"},
		{"topic create x --config retention", "--config retention: want NAME=VALUE"},
		{"produce x --compression best", "--compression"},
		{"produce x --partition=-2", "--partition -2: want a number from 0"},
		{"consume x --from nowhere", "--from nowhere: want start, end, an offset, or a time such as"},
		{"consume x --group g --partition 1", "--partition and --group do not go together"},
		{"consume x --format %q", "--format"},
	} {
		code, stdout, stderr := run("", strings.Fields(tc.args)...)
		if code != exitWrongInput || !strings.Contains(stderr, tc.want) || stdout != "" {
			t.Errorf("sluice %s: code %d\nstdout %s\nstderr %swant %s", tc.args, code, stdout, stderr, tc.want)
		}
	}
}

func TestHelp(t *testing.T) {
	for args, want := range map[string]string{
		"":                    "To begin:",
		"--help":              "Exit codes: 0 done, 1 failed, 2 wrong input",
		"start --help":        "--upload-interval",
		"consume --help":      "--from",
		"topic create --help": "--partitions",
		"group --help":        "describe",
	} {
		code, stdout, stderr := run("", strings.Fields(args)...)
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("sluice %s: code %d, %s\n%s", args, code, stderr, stdout)
		}
	}
}

func TestConfigPrintsWhatStartWouldUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.conf")
	os.WriteFile(file, []byte("num.partitions = 3\nzone = a\nupload-interval = 1m\n"), 0o644)
	var out, errs output
	code := Main(Process{Args: []string{"config", "--config", file, "--zone", "c"}, Environ: []string{"SLUICE_ZONE=b", "SLUICE_UPLOAD_INTERVAL=2m"}, Stdout: &out, Stderr: &errs})
	for _, want := range []string{"\nnum.partitions = 3\n", "\nzone = c\n", "given by flag --zone", "\nupload-interval = 2m\n", "environment variable SLUICE_UPLOAD_INTERVAL", "\n# listen = 127.0.0.1:9092\n"} {
		if code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("code %d, no %q in\n%s%s", code, want, out.String(), errs.String())
		}
	}
}

func TestNoBroker(t *testing.T) {
	for _, args := range []string{"topic list", "produce x", "consume x", "group list"} {
		code, _, stderr := run("", append(strings.Fields(args), "-b", "127.0.0.1:1", "--timeout", "5s")...)
		if code != exitFailed || !strings.Contains(stderr, "no broker answers at 127.0.0.1:1: ") {
			t.Errorf("%s: code %d, %s", args, code, stderr)
		}
	}
}

// broker runs "sluice start" until stop is called, which returns its exit code.
func broker(t *testing.T, args ...string) (address string, stop func() int, out *output) {
	t.Helper()
	out = &output{}
	signals, done := make(chan os.Signal, 2), make(chan int, 1)
	listen := []string{"--listen", "127.0.0.1:0"}
	if slices.Contains(args, "--listeners") {
		listen = nil
	}
	args = append(append([]string{"start"}, listen...), append([]string{"--admin", "127.0.0.1:0", "--log-level", "warn", "--memory", "256MiB"}, args...)...)
	go func() {
		done <- Main(Process{Name: "./bin/sluice", Args: args, Stdout: out, Stderr: out, Signals: signals})
	}()
	stop = sync.OnceValue(func() int {
		signals <- os.Interrupt
		return <-done
	})
	t.Cleanup(func() { stop() })
	ready := regexp.MustCompile(`connect to (\S+)`)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := ready.FindStringSubmatch(out.String()); m != nil {
			return m[1], stop, out
		}
		select {
		case code := <-done:
			done <- code
			t.Fatalf("start ended with %d:\n%s", code, out)
		default:
		}
	}
	t.Fatalf("not ready:\n%s", out)
	return "", nil, nil
}

func TestCommandsAgainstABroker(t *testing.T) {
	data := t.TempDir()
	address, stop, out := broker(t, "--data", data, "--wal", "file://"+data+"/wal?segment=1MiB&capacity=16MiB", "--group-initial-rebalance-delay-ms", "0")
	t.Setenv("SLUICE_BOOTSTRAP_SERVER", address)
	for _, want := range []string{"is ready after", "file://" + data + "/bucket", "file://" + data + "/wal", "/metrics, /healthz, /readyz", "  ./bin/sluice topic create hello -b " + address} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the banner:\n%s", want, out)
		}
	}
	for _, tc := range []struct {
		args   string
		stdin  string
		code   int
		stdout string // regular expressions
		stderr string
	}{
		{"topic create numbers --partitions 2 --config retention.ms=3600000", "", 0, `^Created topic numbers with 2 partitions\.\n$`, ""},
		{"topic create numbers", "", 1, "", "cannot create topic numbers: TOPIC_ALREADY_EXISTS"},
		{"topic create numbers --if-not-exists", "", 0, "Topic numbers exists already", ""},
		{"topic create other --config no.such=1", "", 2, "", "INVALID_CONFIG.*no.such"},
		{"topic create bad/name", "", 2, "", "INVALID_TOPIC_EXCEPTION"},
		{"produce numbers --partition 1", "1\n2\n3", 0, "", "^3 records written to numbers\n$"},
		{"produce numbers -p 1 --partition 1", "", 2, "", "unknown flag -p"},
		{"produce numbers --partition 9", "x\n", 1, "", "line 1 of the input was not written"},
		{"consume numbers", "", 0, "^1\n2\n3\n$", "^$"},
		{"consume numbers --from 1 --partition 1", "", 0, "^2\n3\n$", ""},
		{"consume numbers --count 2 --partition 1", "", 0, "^1\n2\n$", ""},
		{"consume numbers --from end --idle 50ms", "", 0, "^$", ""},
		{"produce pairs -k : -q", "a:1\nb:2:3\nno key\n", 0, "^$", "^$"},
		{`consume pairs --format %k=%v@%p/%o\n`, "", 0, "^a=1@0/0\nb=2:3@0/1\n=no key@0/2\n$", ""},
		{"consume pairs --format json --count 1", "", 0, `^\{"topic":"pairs","partition":0,"offset":0,"timestamp":\d+,"key":"a","value":"1","headers":\[\]\}`, ""},
		{"consume pairs --group readers --count 2", "", 0, "^1\n2:3\n$", ""},
		{"consume pairs --group readers --idle 1s", "", 0, "^no key\n$", ""},
		{"group list", "", 0, `readers +Empty +consumer`, ""},
		{"group describe readers", "", 0, `Group readers, state Empty, 0 members, lag 0\n.*\npairs +0 +3 +3 +0 `, ""},
		{"group describe nobody", "", 1, "", "cannot describe group nobody|there is no group nobody"},
		{"topic list", "", 0, `(?s)^NAME +PARTITIONS +ID\nnumbers +2 .*\npairs +1 [^\n]*\n$`, ""},
		{"topic describe numbers", "", 0, `(?s)Topic numbers, id \S+, 2 partitions\n +retention.ms = 3600000\n.*\n1 +\d+ +0 +0 +3 +3\n$`, ""},
		{"topic describe nothing", "", 1, "", "cannot describe topic nothing: UNKNOWN_TOPIC_OR_PARTITION"},
		{"topic delete pairs", "", 0, "Deleted topic pairs", ""},
		{"topic delete pairs", "", 1, "", "cannot delete topic pairs"},
		{"consume pairs", "", 1, "", "there is no topic pairs; sluice topic list shows all"},
	} {
		code, stdout, stderr := run(tc.stdin, strings.Fields(tc.args)...)
		if code != tc.code || !regexp.MustCompile(tc.stdout).MatchString(stdout) || !regexp.MustCompile(tc.stderr).MatchString(stderr) {
			t.Errorf("sluice %s: code %d, want %d\nstdout: %s\nstderr: %s", tc.args, code, tc.code, stdout, stderr)
		}
	}
	code, _, stderr := run("", "start", "--data", data, "--listen", address)
	if code != exitWrongInput || !strings.Contains(stderr, "is another broker running there?") {
		t.Errorf("a second start: code %d, %s", code, stderr)
	}
	code, _, stderr = run("", "start", "--data", data, "--listen", "127.0.0.1:0", "--admin", "off")
	if code != exitWrongInput || !strings.Contains(stderr, "another sluice uses the data directory "+data) {
		t.Errorf("a second start in the same directory: code %d, %s", code, stderr)
	}
	if code := stop(); code != 0 || !strings.Contains(out.String(), "Stopped.") {
		t.Errorf("stop: code %d\n%s", code, out)
	}
	os.RemoveAll(data + "/bucket")
	code, _, stderr = run("", "start", "--data", data, "--listen", "127.0.0.1:0", "--admin", "off")
	if code != exitWrongInput || !strings.Contains(stderr, "/bucket is empty; give the bucket of that cluster") {
		t.Errorf("a lost bucket: code %d, %s", code, stderr)
	}
}
