package process

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the child end when this process does, however it ends.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
