//go:build !linux

package handle

import "time"

// cpuTime runs fn and returns the time it took: CPU time of a thread is not to be had everywhere.
func cpuTime(fn func()) time.Duration {
	begin := time.Now()
	fn()
	return time.Since(begin)
}
