package rescue

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/wal"
)

// Options set up a worker. Self, Client, Store and WAL are required; zero values of the rest mean the defaults named.
type Options struct {
	Self   meta.NodeRef // must be current in Client's image
	Client control.Client
	Store  objstore.Store // where objects go
	// WAL gives what is needed to reach the WALs of others: cluster, memory pool, the store of class s3, logger. It is called for each job.
	WAL func() wal.Options

	SOBytes  int64 // a stream with so many bytes in a piece gets an object of its own; 64 MiB
	Parallel int   // rescues at a time; 4
	// Memory is what the pieces of all rescues together take, in bytes; 128 MiB, at least 16 MiB. Reading ahead takes up to 32 MiB more for each rescue of
	// a WAL of class s3, and 2 MiB for others.
	Memory int64

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time      // time.Now; decides when to retry, nothing else

	piece    int64                                      // tests; bytes of a piece
	stuck    time.Duration                              // tests; stuckAfter
	retryMin time.Duration                              // tests; retryMin
	at       func(ctx context.Context, at string) error // tests: called before each step; an error ends the job there
}

const (
	defaultParallel = 4
	defaultMemory   = 128 << 20
	memoryMin       = 16 << 20
	pieceBytes      = 16 << 20               // of WAL, at most; large enough that what a request costs does not matter, small enough that several go side by side
	piecesMin       = 4                      // so many fit into Memory
	retryMin        = 250 * time.Millisecond // pause after a failed attempt; doubles
	retryMax        = 10 * time.Second
	retryPerson     = time.Minute      // pause after one that a person has to look at
	reachKeep       = 30 * time.Second // a failure is reported for so long after it was seen,
	personKeep      = 10 * time.Minute // one that a person has to look at for so long
	stuckAfter      = 30 * time.Second // a job without progress is reported
	closeWait       = 5 * time.Second  // Close waits so long for jobs that hang
)

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	if o.Memory <= 0 {
		o.Memory = defaultMemory
	}
	o.Memory = max(o.Memory, memoryMin)
	if o.piece <= 0 {
		o.piece = min(pieceBytes, o.Memory/piecesMin)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.retryMin <= 0 {
		o.retryMin = retryMin
	}
	if o.stuck <= 0 {
		o.stuck = stuckAfter
	}
	if o.at == nil {
		o.at = func(ctx context.Context, _ string) error { return ctx.Err() }
	}
	return o
}

// Failure is a grant that this node could not carry out: the WAL is out of its reach or damaged, or nothing has happened for long (the
// bucket may be out of its reach). It goes on trying, unless the grant goes to another.
type Failure struct {
	Victim meta.NodeRef
	Grant  uint64
	Err    string
	Kind   base.Kind // Corrupt: no other node will do better
}
