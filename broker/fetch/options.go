package fetch

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/broker/partition"
)

// Directory finds partitions. *lead.Directory implements it; errors are *kerr.Error.
type Directory interface {
	Get(topic base.UUID, index int32) (*partition.Partition, error)
	GetByName(topic string, index int32) (*partition.Partition, error)
	// Coming reports whether a partition that Get does not find will be served in a moment, here or by another node.
	Coming(topic base.UUID, index int32) bool
	ComingByName(topic string, index int32) bool
	// Changed returns a channel that is closed when any of the answers may have become another.
	Changed() <-chan struct{}
}

// Options are what a Fetcher works with. Directory is required.
type Options struct {
	Directory Directory
	// Contact says why this node may be out of date: it has not heard of the cluster for so long that another may lead its partitions. Nothing
	// is handed out then. It is asked before every answer and must not block. Nil means never.
	Contact func() error

	Sessions          int           // fetch sessions kept (max.incremental.fetch.session.cache.slots); 1000
	SessionPartitions int           // partitions in all sessions together; 1,000,000
	SessionIdle       time.Duration // a session unused for so long may be given up for another; 2 min
	MaxBytes          int           // of one response (fetch.max.bytes); 55 MiB
	MaxWait           time.Duration // longest a fetch is parked, whatever it asks for; 5 min
	HoldMax           time.Duration // a fetch of partitions that are being moved is held so long at most; 2 s
	ColdReads         int           // reads from the bucket at the same time, of all fetches; 64
	ColdPerFetch      int           // of one fetch; 8
	ColdTimeout       time.Duration // of the bucket reads of one fetch; 20 s

	Now        func() time.Time      // nil means time.Now
	Registerer prometheus.Registerer // nil means no metrics
}

func (o Options) withDefaults() Options {
	o.Sessions, o.SessionPartitions = or(o.Sessions, 1000), or(o.SessionPartitions, 1_000_000)
	o.SessionIdle, o.MaxWait = or(o.SessionIdle, 2*time.Minute), or(o.MaxWait, 5*time.Minute)
	o.HoldMax = or(o.HoldMax, 2*time.Second)
	o.MaxBytes = or(o.MaxBytes, 55<<20)
	o.ColdReads, o.ColdPerFetch, o.ColdTimeout = or(o.ColdReads, 64), or(o.ColdPerFetch, 8), or(o.ColdTimeout, 20*time.Second)
	if o.Contact == nil {
		o.Contact = func() error { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func or[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// semaphore bounds the reads from the bucket.
type semaphore chan struct{}

func (s semaphore) acquire(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	}
}

func (s semaphore) release() { <-s }
