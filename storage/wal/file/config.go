package file

import (
	"fmt"
	"path"
	"time"

	"sluice/base"
	"sluice/storage/wal/disk"
)

// Config says where a file WAL is and how large it may be. New gives the defaults.
type Config struct {
	Dir      string
	Shared   bool  // other hosts see the same directory
	Capacity int64 // bytes of all segments
	Segment  int64 // bytes of a segment, a multiple of block.Align
	FS       disk.FS
	// SecondBytes: a block is written beside one that is in flight if it has at least so many bytes.
	SecondBytes int
	// LockWait: a sealer waits so long for the victim's process to be gone.
	LockWait time.Duration
}

const (
	defaultCapacity = 10 << 30
	defaultSegment  = 64 << 20
	firstSegment    = 8 << 20         // the first one is small, so that a start need not wait for a large one
	defaultLockWait = 3 * time.Second // a killed process keeps its locks until its last writes have ended
	minSegment      = 64 << 10
	segmentsMin     = 4 // one is filled, one is ahead, and there is room for others to be trimmed

	writers     = 2        // durable writes in flight
	blockBytes  = 1 << 20  // soft limit of a block
	arenaBytes  = 2 << 20  // memory is taken in such pieces
	secondBytes = 16 << 10 // default of Config.SecondBytes
)

// New returns the configuration of a WAL in dir with defaults for what is zero. The error has kind Invalid.
func New(dir string, shared bool, capacity, segment int64) (Config, error) {
	c := Config{Dir: dir, Shared: shared, Capacity: capacity, Segment: segment, FS: disk.OS{}, SecondBytes: secondBytes, LockWait: defaultLockWait}
	if c.Capacity == 0 {
		c.Capacity = defaultCapacity
	}
	if c.Segment == 0 {
		c.Segment = min(defaultSegment, c.Capacity/(2*segmentsMin)) &^ (disk.Align - 1)
	}
	if c.Segment < minSegment || c.Segment%disk.Align != 0 {
		return c, base.Errorf(base.Invalid, "WAL segment of %d bytes: want a multiple of %d, at least %d (capacity at least %d)", c.Segment, disk.Align, minSegment, 2*segmentsMin*minSegment)
	}
	if c.Capacity < segmentsMin*c.Segment {
		return c, base.Errorf(base.Invalid, "WAL capacity of %d bytes: want at least %d segments of %d bytes", c.Capacity, segmentsMin, c.Segment)
	}
	return c, nil
}

func (c Config) String() string {
	if c.Shared {
		return "file://" + c.Dir + "?shared=true"
	}
	return "file://" + c.Dir
}

// maxRecord is the largest record that fits into a segment.
func (c Config) maxRecord() int { return int(c.Segment) - dataStart - 2*disk.Align }

func (c Config) in(names ...string) string { return path.Join(append([]string{c.Dir}, names...)...) }

func epochName(node base.NodeID, epoch base.NodeEpoch) string {
	return fmt.Sprintf("%d-%d", node, epoch)
}
