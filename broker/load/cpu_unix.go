//go:build unix && !faketime

package load

import (
	"syscall"
	"time"
)

// processCPU is the user and system time of the process.
func processCPU() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
