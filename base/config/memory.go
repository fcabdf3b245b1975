package config

const (
	minMemory     = 64 << 20 // the fixed parts of the process take about 30 MiB
	maxAutoMemory = 256 << 20
)

// Memory is how the process divides the memory it may use. The shares leave an eighth for everything that is not counted:
// metadata, groups, goroutines, and what the garbage collector has not collected yet.
type Memory struct {
	Total    Bytes // also Go's memory limit
	WALCache Bytes
	Blocks   Bytes
	Requests Bytes
	Upload   Bytes // an upload starts at so many bytes
	Spare    Bytes // released buffers that are kept for reuse
	Keys     Bytes // keys of partitions that are being compacted
	Compact  Bytes // compaction of objects: one that is written, and windows on those that are read
}

// Divide works out the shares for a machine with so much memory (0 if unknown).
func (c *Config) Divide(machine int64) Memory {
	m := Memory{Total: c.Memory}
	if m.Total == 0 {
		m.Total = Bytes(min(max(machine/4, minMemory), maxAutoMemory))
		if machine == 0 {
			m.Total = maxAutoMemory
		}
	}
	m.WALCache = either(c.WALCache, m.Total*30/100)
	m.Blocks = either(c.BlockCache, m.Total*20/100)
	m.Requests = either(c.RequestBytes, m.Total*15/100)
	m.Upload = either(c.UploadBytes, min(m.WALCache/3, 500<<20))
	m.Spare = m.Total / 16
	m.Keys = min(m.Total/16, c.CleanerBuffer)
	m.Compact = min(m.Total/10, 512<<20)
	return m
}

func either(given, share Bytes) Bytes {
	if given != 0 {
		return given
	}
	return max(share, 1)
}
