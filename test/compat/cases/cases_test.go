package cases

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/test/broker"
)

const (
	resultsDir      = "results"
	differencesFile = "differences.txt"
	pageFile        = "../../../docs/compatibility.md"
	installMax      = 10 * time.Minute
)

// TestClients runs the clients that SLUICE_COMPAT names. With none named it checks that the page, the list of differences and the results of the last
// runs agree.
func TestClients(t *testing.T) {
	clients, err := readClients(".")
	if err != nil {
		t.Fatal(err)
	}
	listed, err := readDifferences(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	ran := results{}
	for _, c := range clients {
		if wanted(os.Getenv("SLUICE_COMPAT"), c.Name) {
			t.Run(c.Name, func(t *testing.T) {
				verdicts, said := runBoth(t, c)
				for _, wrong := range check(listed, c.Name, verdicts, said) {
					t.Error(wrong)
				}
				all, ok := count(verdicts, "")
				t.Logf("%d cases, %d ok on both", all, ok)
				ran[c.Name] = verdicts
			})
		}
	}
	if os.Getenv("SLUICE_COMPAT_WRITE") != "" {
		write(t, ran)
	}
	checkPage(t, clients, listed)
}

// checkPage compares the page with the results of the last runs.
func checkPage(t *testing.T, clients []Client, listed []difference) {
	t.Helper()
	seen, err := readResults(resultsDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range stale(listed, seen) {
		t.Errorf("%s: %s", differencesFile, wrong)
	}
	page, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	want, err := replaceReport(string(page), render(clients, seen, listed))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("SLUICE_COMPAT_WRITE") != "" {
		if err := os.WriteFile(pageFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) && os.Getenv("SLUICE_COMPAT") == "" {
		t.Errorf("%s does not say what the results do: SLUICE_COMPAT_WRITE=1 go test ./test/compat/cases", pageFile)
	}
}

func write(t *testing.T, ran results) {
	t.Helper()
	for client, verdicts := range ran {
		if err := writeResult(resultsDir, client, verdicts); err != nil {
			t.Fatal(err)
		}
	}
}

// runBoth runs the program of a client against both brokers at once.
func runBoth(t *testing.T, c Client) (map[string]verdict, map[string]string) {
	t.Helper()
	cache := filepath.Join(broker.Root(), ".cache", "compat", c.Name)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if c.Install != "" {
		if out, err := c.sh(installMax, cache, nil, c.Install); err != nil {
			t.Fatalf("install: %v\n%s", err, out.stderr.String()+out.stdout.String())
		}
	}
	w := startWorld(t, c.Broker)
	var got [2]map[string]outcome
	var wg sync.WaitGroup
	for i, name := range []string{"sluice", "kafka"} {
		wg.Go(func() {
			start := time.Now()
			out, err := c.sh(c.Timeout, cache, w[i].env, c.Command+` "$@"`, w[i].addr, "c"+strconv.FormatInt(time.Now().UnixNano()%1e9, 36)+"-")
			_ = os.WriteFile(filepath.Join(cache, name+".txt"), out.stdout.Bytes(), 0o644)
			_ = os.WriteFile(filepath.Join(cache, name+".err"), out.stderr.Bytes(), 0o644)
			t.Logf("%s: %v", name, time.Since(start).Round(100*time.Millisecond))
			var parsed error
			if got[i], parsed = parseRun(out.stdout.Bytes()); err != nil || parsed != nil {
				b := out.stderr.Bytes()
				t.Errorf("against %s: %v, %v; its errors end with\n%s", name, err, parsed, b[max(0, len(b)-8<<10):])
			}
		})
	}
	wg.Wait()
	verdicts, said, wrong := compare(got[0], got[1])
	for _, w := range wrong {
		t.Error(w)
	}
	return verdicts, said
}

type output struct{ stdout, stderr bytes.Buffer }

// sh runs a command of a client in a process group of its own, which does not outlive it.
func (c Client) sh(limit time.Duration, cache string, env []string, command string, args ...string) (*output, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", command, c.Name}, args...)...)
	cmd.Dir = c.Dir
	cmd.Env = append(append(os.Environ(), "CACHE="+cache, "ROOT="+broker.Root()), env...)
	var out output
	cmd.Stdout, cmd.Stderr = &out.stdout, &out.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what the program left behind
	}
	return &out, err
}
