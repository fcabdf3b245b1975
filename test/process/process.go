//go:build unix

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a running process.
type Process struct {
	PID    int
	Output *Output
	exited chan struct{} // closed when it has ended
}

// Start starts the program with arguments.
func Start(program string, args ...string) (*Process, error) {
	p := &Process{Output: &Output{}, exited: make(chan struct{})}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = p.Output, p.Output
	if err := StartCommand(cmd, func() { _ = cmd.Wait(); close(p.exited) }); err != nil {
		return nil, err
	}
	p.PID = cmd.Process.Pid
	return p, nil
}

// StartCommand starts cmd, which is told to die with this process, however that ends. attend is called when it has started, in a goroutine of its own; it
// awaits the end of cmd.
func StartCommand(cmd *exec.Cmd, attend func()) error {
	started := make(chan error)
	go func() {
		// What the child is told to die with is the thread that starts it, so that must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		dieWithParent(cmd)
		err := cmd.Start()
		started <- err
		if err == nil {
			attend()
		}
	}()
	return <-started
}

// Kill ends the process at once and waits until it is gone.
func (p *Process) Kill() {
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
		<-p.exited
	}
}

// Await asks until ready says yes. When that takes a minute, or the process ends, the error has its output.
func (p *Process) Await(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !ready() {
		select {
		case <-poll.C:
		case <-p.exited:
			return fmt.Errorf("it ended before it was ready; its output: %s", p.Output)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w; its output: %s", ctx.Err(), p.Output)
		}
	}
	return nil
}

// FreeAddress returns a loopback address that was free a moment ago.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Output keeps the last of what a process prints.
type Output struct {
	mu   sync.Mutex
	text []byte
}

const outputMax = 16 << 10

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	if n := len(o.text) - outputMax; n > 0 {
		o.text = o.text[n:]
	}
	return len(p), nil
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(bytes.TrimSpace(o.text))
}

// Tool returns the path of the executable of a Go package, named within its module, that the module in dir (relative to the main module)
// requires as a tool, in the version that its go.mod has. It is built when it is not there.
func Tool(ctx context.Context, dir, module, within string) (string, error) {
	pkg := path.Join(module, within)
	root, err := Root()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, dir)
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return "", err
	}
	version := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(module) + ` (v\S+)`).FindSubmatch(mod)
	if version == nil {
		return "", fmt.Errorf("%s/go.mod does not require %s", dir, module)
	}
	binary := filepath.Join(root, ".cache", "bin", filepath.Base(pkg)+"-"+string(version[1]))
	unlock, err := Lock(binary)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	half := fmt.Sprintf("%s.%d", binary, os.Getpid())
	defer os.Remove(half)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", half, pkg)
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s (needs the Go module proxy once): %w\n%s", pkg, err, out)
	}
	return binary, os.Rename(half, binary)
}

// Lock makes test processes that want to make file wait for each other, and makes its directory.
func Lock(file string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Root finds the directory of the main module's go.mod above the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module sluice\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("not inside the module sluice")
		}
		dir = up
	}
}
