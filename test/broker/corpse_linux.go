package broker

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// AwaitDead waits until the process has ended as far as it can end by itself: all that is left of it are threads that wait in the kernel for a disk, where no
// signal reaches them. Wait returns only when the disk answers. The test fails if it takes longer than within.
func (p *Process) AwaitDead(within time.Duration) {
	p.t.Helper()
	for deadline := time.Now().Add(within); !dead(p.Pid()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("the broker did not end within %v", within)
		}
	}
}

// dead reports whether all that is left of a process are threads that cannot be interrupted, any of which may be the first one, and that first one, which the kernel keeps as a
// zombie until the others are gone. One that lives has threads that sleep or run.
func dead(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		panic("BUG: broker: " + err.Error())
	}
	for _, thread := range threads {
		b, err := os.ReadFile(thread)
		if err != nil {
			continue // gone meanwhile
		}
		state := bytes.TrimSpace(b[bytes.LastIndexByte(b, ')')+1:]) // what is before it is a name of any kind
		if !bytes.ContainsAny(state[:1], "DZX") {
			return false
		}
	}
	return true
}
