package bench

import (
	"syscall"
	"time"
)

// sleep waits with the kernel's timer: Go's own rounds short sleeps up to about a millisecond, which would be charged to the broker.
func sleep(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil) // an interrupted sleep is repeated by the caller
}
