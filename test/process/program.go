//go:build unix

package process

import (
	"bufio"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// Program is a client program that runs: its standard input is what it is told, its standard output what it says, line by line.
type Program struct {
	Stdin  io.WriteCloser
	Stderr *Output
	Ended  chan struct{} // closed when it has ended
	Err    error         // why it ended otherwise than it should; set before Ended is closed
	pid    int
	stdout io.Closer
}

// programPatience is how long a program that was told to end may take, and how long its output may stay open when it has.
const programPatience = 10 * time.Second

// StartProgram starts cmd, which has its directory and environment, and calls said with each line that it prints, one after the other.
func StartProgram(cmd *exec.Cmd, said func(line string)) (*Program, error) {
	p := &Program{Stderr: &Output{}, Ended: make(chan struct{})}
	cmd.Stderr, cmd.WaitDelay = p.Stderr, programPatience/2
	var err error
	if p.Stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = stdout
	if err := StartCommand(cmd, func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			said(lines.Text())
		}
		p.Err = cmd.Wait()
		close(p.Ended)
	}); err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	return p, nil
}

// End tells the program to end, kills it if it does not, and waits until it is gone.
func (p *Program) End() {
	select {
	case <-p.Ended:
		return
	default:
	}
	_ = syscall.Kill(p.pid, syscall.SIGTERM)
	select {
	case <-p.Ended:
	case <-time.After(programPatience):
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		p.stdout.Close()
		<-p.Ended
	}
}
