// Package broker builds the sluice binary and runs it as a real process for tests: on free loopback ports that stay the same
// over restarts, killed by process id, its log kept and printed when the test fails.
//
// Invariants:
//
//  1. A process that was started is gone when the test is over, whatever the test did.
//  2. The binary under test is built once per test binary, from the sources as they are.
//
// Each running process has one goroutine that waits for its end.
package broker

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/test/process"
)

// Root is the top of the source tree: the directory of go.mod, above the working directory.
func Root() string {
	dir, err := process.Root()
	if err != nil {
		panic(err)
	}
	return dir
}

var build = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(Root(), ".cache", "bin", "sluice-under-test")
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		return "", err
	}
	// Test binaries of several packages run at once: each builds beside the final name and renames.
	tmp := fmt.Sprintf("%s.%d", bin, os.Getpid())
	cmd := exec.Command("go", "build", "-o", tmp, "./cmd/sluice")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build sluice: %w\n%s", err, out)
	}
	return bin, os.Rename(tmp, bin)
})

// Binary builds sluice and returns the path of the executable. SLUICE_BINARY names a ready-made one instead.
func Binary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv("SLUICE_BINARY"); bin != "" {
		return bin
	}
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Options say how the broker runs. Empty fields get defaults below Dir.
type Options struct {
	Dir    string   // data directory; default: the test's temporary one
	Bucket string   // --bucket; default: a directory in Dir
	WAL    string   // --wal; default: sluice's own default
	Args   []string // further arguments of `sluice start`
	Env    []string // further environment, KEY=VALUE
	Wrap   []string // a command that becomes the broker, such as nsenter with its arguments; default: none
	Addr   string   // Kafka listener, HOST:PORT; default: a free port of 127.0.0.1
	Many   bool     // Args name the listeners, and Addr is one of them
	Admin  string   // HTTP listener, HOST:PORT; default: a free port of 127.0.0.1
}

// Process is one broker, over any number of starts.
type Process struct {
	Addr  string // Kafka listener, HOST:PORT
	Admin string // HTTP listener, HOST:PORT

	t    testing.TB
	opt  Options
	log  logBuffer
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// New prepares a broker without starting it.
func New(t testing.TB, opt Options) *Process {
	t.Helper()
	if opt.Dir == "" {
		opt.Dir = t.TempDir()
	}
	if opt.Bucket == "" {
		opt.Bucket = "file://" + filepath.Join(opt.Dir, "bucket")
	}
	p := &Process{Addr: opt.Addr, Admin: opt.Admin, t: t, opt: opt}
	if p.Addr == "" {
		p.Addr = FreeAddr(t)
	}
	if p.Admin == "" {
		p.Admin = FreeAddr(t)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of the broker at %s:\n%s", p.Addr, p.log.tail(16<<10))
		}
	})
	return p
}

// Start prepares a broker, starts it and waits until it is ready.
func Start(t testing.TB, opt Options) *Process {
	t.Helper()
	p := New(t, opt)
	p.Launch()
	p.AwaitReady(time.Minute)
	return p
}

// Launch starts the process without waiting for it to be ready.
func (p *Process) Launch() {
	p.t.Helper()
	args := []string{"start", "--bucket", p.opt.Bucket, "--data", p.opt.Dir, "--admin", p.Admin}
	if !p.opt.Many {
		args = append(args, "--listen", p.Addr)
	}
	if p.opt.WAL != "" {
		args = append(args, "--wal", p.opt.WAL)
	}
	args = slices.Concat(p.opt.Wrap, []string{Binary(p.t)}, args, p.opt.Args)
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), p.opt.Env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	cmd, done := p.cmd, make(chan struct{})
	if err := process.StartCommand(cmd, func() { p.err = cmd.Wait(); close(done) }); err != nil {
		p.t.Fatalf("start sluice: %v", err)
	}
	p.done = done
}

// Ready reports whether the broker says that it serves.
func (p *Process) Ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// AwaitReady fails the test when the broker ends or is not ready within the time.
func (p *Process) AwaitReady(within time.Duration) {
	p.t.Helper()
	deadline := time.Now().Add(within)
	for !p.Ready() {
		select {
		case <-p.done:
			p.t.Fatalf("the broker ended before it was ready: %v", p.err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the broker was not ready within %v", within)
		}
	}
}

// Pid is the process id of the running broker.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the process at once, as kill -9 does, and waits until it is gone. It does nothing when none runs.
func (p *Process) Kill() {
	if p.cmd == nil || p.done == nil {
		return
	}
	_ = p.cmd.Process.Kill() // fails only when it has ended already
	<-p.done
	p.done = nil
}

// Signal sends a signal to the process.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// Stop asks the broker to end, as an operator would, and returns what Wait says.
func (p *Process) Stop(within time.Duration) error {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait(within)
}

// Wait waits for the process to end by itself and returns its exit error, nil for code 0.
func (p *Process) Wait(within time.Duration) error {
	p.t.Helper()
	select {
	case <-p.done:
		p.done = nil
		return p.err
	case <-time.After(within):
		p.t.Fatalf("the broker did not end within %v", within)
		return nil
	}
}

// Ended reports whether the process has ended by itself.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Log returns what the broker has printed so far, over all starts.
func (p *Process) Log() string { return p.log.tail(1 << 30) }

// FreeAddr returns a free port of 127.0.0.1.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// logBuffer keeps everything a process prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.b.Bytes()
	return string(b[max(0, len(b)-n):])
}
