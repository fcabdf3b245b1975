package kafkasuite

import "syscall"

// ownGroup puts the child into a process group of its own, and makes the kernel end it when this process dies.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
