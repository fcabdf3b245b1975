//go:build unix

package process

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestProgram: what a program prints before it ends is all there when it has ended, and so is why it ended.
func TestProgram(t *testing.T) {
	var said []string
	p, err := StartProgram(exec.Command("sh", "-c", `read word; echo "told $word"; echo oops >&2; seq 1000; exit 3`), func(line string) { said = append(said, line) })
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(p.Stdin, "hello")
	<-p.Ended
	if len(said) != 1001 || said[0] != "told hello" || said[1000] != "1000" {
		t.Errorf("it said %d lines: %.100q", len(said), said)
	}
	var exit *exec.ExitError
	if !errors.As(p.Err, &exit) || exit.ExitCode() != 3 || p.Stderr.String() != "oops" {
		t.Errorf("ended with %v, %q", p.Err, p.Stderr)
	}
	p.End() // has no effect
}

// TestProgramEnds: one that reads its input for ever ends when it is told to.
func TestProgramEnds(t *testing.T) {
	p, err := StartProgram(exec.Command("cat"), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	p.End()
	var exit *exec.ExitError
	if !errors.As(p.Err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v", p.Err)
	}
	if _, err := StartProgram(exec.Command("/nowhere/at/all"), nil); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("got %v", err)
	}
}
