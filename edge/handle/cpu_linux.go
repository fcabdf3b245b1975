package handle

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime runs fn and returns the CPU time it took on this goroutine. Waiting is free.
func cpuTime(fn func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadTime()
	fn()
	return threadTime() - begin
}

func threadTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
