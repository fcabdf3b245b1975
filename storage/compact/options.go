package compact

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
	"sluice/storage/stream"
)

// Options say what a worker is and what it works with. Zero values of sizes and times mean the defaults.
type Options struct {
	Cluster base.UUID
	Node    stream.NodeRef
	Store   driver.Store
	Catalog Catalog
	Pool    *slab.Pool

	Interval    time.Duration // between rounds; 5 min; negative: only when asked
	SplitAge    time.Duration // older stream-set objects are split; 2 h
	SplitBytes  int64         // parts of a stream with so much are taken out of those; 32 MiB
	SOBytes     int64         // parts with so much get an object of their own whenever they are rewritten; half of ObjectBytes
	ObjectBytes int64         // largest object that is made; 128 MiB, and at most half of MemoryBytes
	MemoryBytes int64         // for one object that is written and the windows on those that are read; 64 MiB
	ReaderBytes int64         // memory of readers that catch up, see Limits.Readers; 0: they have enough
	JobBytes    int64         // bytes that one job reads; 16 GiB
	Bandwidth   *Bandwidth    // nil: no limit

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	now        func() time.Time // tests
}

const (
	corruptPause = time.Hour // a source that cannot be read is left alone for this long
	failuresMax  = 3         // so many jobs that fail one after the other end a round: it is not they
	enough       = 8 << 20   // see Limits.Enough
	passesMax    = 32        // plans of a round at most; each changes something, or it is the last
)

func (o Options) withDefaults() Options {
	set := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.ObjectBytes, driver.WholeMax)
	set(&o.MemoryBytes, 64<<20)
	set(&o.JobBytes, 16<<30)
	o.ObjectBytes = min(o.ObjectBytes, o.MemoryBytes/2)
	set(&o.SOBytes, o.ObjectBytes/2)
	set(&o.SplitBytes, 32<<20)
	if o.Interval == 0 {
		o.Interval = 5 * time.Minute
	}
	if o.SplitAge <= 0 {
		o.SplitAge = 2 * time.Hour
	}
	if o.Pool == nil {
		o.Pool = &slab.Pool{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}

// cursorBytes is the memory for windows.
func (o *Options) cursorBytes() int64 { return max(o.MemoryBytes-o.ObjectBytes, windowMin) }

func (o *Options) limits() Limits {
	object := o.ObjectBytes - o.ObjectBytes/16 // framing: what is above driver.WholeMax by a little costs seven requests
	return Limits{
		MaxObject: object, SOBytes: min(o.SOBytes, object/2), SplitBytes: min(o.SplitBytes, object/2),
		Enough: min(enough, object/2), Readers: o.ReaderBytes, SplitAgeMS: o.SplitAge.Milliseconds(), JobBytes: o.JobBytes, IndexBytes: o.cursorBytes(), Sources: int(min(max(o.cursorBytes()/windowWorth, fanIn), maxSources)),
	}
}
