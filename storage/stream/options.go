package stream

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
)

// Options say what an engine is and what it works with. Zero values of sizes and times mean the defaults.
type Options struct {
	Cluster base.UUID
	Node    NodeRef
	Store   driver.Store
	Catalog Catalog
	Pool    *slab.Pool

	WALCacheBytes   int64         // memory for what the WAL made durable; 256 MiB
	BlockCacheBytes int64         // memory for what was read from the bucket; 128 MiB
	UploadBytes     int64         // upload when so much waits; 500 MiB, and at most a third of WALCacheBytes
	UploadEvery     time.Duration // upload when something has waited so long; 60 s
	SOBytes         int64         // a stream with so much in an upload gets an object of its own; 64 MiB
	Uploads         int           // uploads under way at a time; 3

	pauseMin time.Duration // tests: the first pause before a retry

	// OnFailed is told, once and on a goroutine of its own, why the engine can never commit again. Kind Fenced: the node epoch is over.
	OnFailed   func(error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Bounds that are not settings.
const (
	soBytes          = 64 << 20               // a stream with less in an upload shares an object; one with more gets its own, and the upload costs a put more
	soMin            = 1 << 20                // a stream that would have the shared object to itself gets it as its own from so many bytes on
	putsPerUpload    = 4                      // objects of one upload that are put at a time
	retryMin         = 100 * time.Millisecond // first pause after a failed request of an upload; doubled, with jitter
	retryMax         = 15 * time.Second       // longest pause
	expiredTries     = 10                     // how often an upload's objects may expire before the commit
	walSlackBytes    = 64 << 10               // what the WAL adds to the bytes of a request at most: 4 KiB for each of 16 batches
	closeBatch       = 2000                   // streams closed or trimmed by one call of the catalog
	copyBelow        = 2 << 10                // a cached record of fewer bytes is copied into a chunk rather than referred to
	scratchMinBytes  = 16 << 10               // first and
	scratchMaxBytes  = 256 << 10              // largest buffer such records are copied to
	lookupBatch      = 64                     // records looked up under a stream's lock at a time
	locateLimit      = 16                     // ranges asked of the catalog at a time by reads,
	locatePage       = 1024                   // and by scans
	missingTries     = 5                      // how often a missing object is located again
	missingPause     = 50 * time.Millisecond  // before that, doubled each time
	coldReadMax      = 8 << 20                // bytes a cold read fetches at once beyond its first block
	readAheadMin     = 512 << 10
	readAheadMax     = 32 << 20
	aheadExtent      = 4 << 20 // extents of a reader without room for three of these are not read ahead
	readAheadRearm   = 8 << 20 // bytes read in sequence until reading ahead is tried again after it was in vain
	readAheadCursors = 64      // sequential readers tracked per stream
)

func (o Options) withDefaults() Options {
	set := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.WALCacheBytes, 256<<20)
	set(&o.BlockCacheBytes, 128<<20)
	set(&o.UploadBytes, 500<<20)
	set(&o.SOBytes, soBytes)
	o.UploadBytes = min(o.UploadBytes, o.WALCacheBytes/3)
	if o.UploadEvery <= 0 {
		o.UploadEvery = time.Minute
	}
	if o.Uploads <= 0 {
		o.Uploads = 3
	}
	if o.pauseMin <= 0 {
		o.pauseMin = retryMin
	}
	if o.Pool == nil {
		o.Pool = &slab.Pool{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnFailed == nil {
		o.OnFailed = func(error) {}
	}
	return o
}
