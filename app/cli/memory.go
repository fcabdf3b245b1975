package cli

import (
	"bytes"
	"math"
	"os"
	"strconv"
)

// machineMemory returns the bytes of memory this process may count on: the machine's, or less if its control group says so; 0 if
// neither can be found out.
func machineMemory() int64 {
	total := int64(0)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range bytes.Lines(b) {
			f := bytes.Fields(line)
			if len(f) >= 2 && string(f[0]) == "MemTotal:" {
				kib, _ := strconv.ParseInt(string(f[1]), 10, 64)
				total = kib << 10
			}
		}
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
		if err == nil && limit > 0 && limit < math.MaxInt64/2 && (total == 0 || limit < total) {
			total = limit
		}
	}
	return total
}
