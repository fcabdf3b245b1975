package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// usage is what the operating system says a process has used.
type usage struct {
	cpuSeconds float64
	rssBytes   int64
}

// clockTick is the unit of CPU times in /proc, fixed at 100 per second for every Linux platform.
const clockTick = 100

// readUsage reads the CPU time and resident memory of a process from /proc.
func readUsage(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("--pid %d: read process times: %w", pid, err)
	}
	// The command name is in brackets and may hold spaces; fields are counted behind it. utime and stime are fields 14 and 15.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 22 {
		return usage{}, fmt.Errorf("--pid %d: unexpected process times %q", pid, stat)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	pages, err3 := strconv.ParseInt(fields[21], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return usage{}, fmt.Errorf("--pid %d: unexpected process times %q", pid, stat)
	}
	return usage{cpuSeconds: float64(user+system) / clockTick, rssBytes: pages * int64(os.Getpagesize())}, nil
}
