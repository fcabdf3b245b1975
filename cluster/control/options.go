package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/storage/objstore"
)

// Options set up a controller. Store is required; zero values of the rest mean the defaults named.
type Options struct {
	Store objstore.Store // the bucket
	Meta  objstore.Store // of the metadata log, whose snapshots are in the bucket in any case; Store
	Name  string         // key prefix of the metadata log; "meta"
	Who   string         // what this process calls itself in the log: host and process, for people; "sluice"

	NewCluster          base.UUID     // id of the cluster if the bucket is empty; zero: a random one
	PreparedMaxAge      time.Duration // a prepared object expires after this; 60 min
	DeleteGrace         time.Duration // between the mark of an object and its physical deletion; 5 min
	DeletesPerSecond    int           // objects physically deleted per second at most; 200
	SweepEvery          time.Duration // orphans are looked for so often; 0: never
	SweepGrace          time.Duration // and removed when they are so old; 1 h
	SweepPagesPerSecond float64       // at most so many listing requests a second are made for it; 1
	// OpenStore opens the store of write-ahead logs that have one to themselves, the same one each time; nil: those are not swept.
	OpenStore     func(ctx context.Context, url string) (objstore.Store, error)
	VerifyEvery   time.Duration // the log is looked at for another controller when so long nothing was appended; 0: never
	Tick          time.Duration // how often the life cycle looks for work while there is some; 1 s
	SnapshotBytes int64         // a snapshot after so many bytes of log, or the size of the last one if that is more; 4 MiB
	RollSlots     uint64        // a new epoch of the log after so many slots; 4096

	// Positions returns how far each node has applied the log. Nil: every node that registers through this controller sees its image.
	// It is called on one goroutine at a time.
	Positions func() map[meta.NodeRef]base.MetaPos

	// OnFenced is called once, on its own goroutine, when another controller has taken over, or when the metadata log has failed for
	// good. This controller then refuses every command.
	OnFenced func(error)

	Now        func() time.Time      // time.Now; the wall clock, for ages
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

const (
	queueMax      = 4096    // commands that wait for the loop
	batchMax      = 1024    // commands decided in one batch
	batchBytesMax = 4 << 20 // of records, after which a batch takes no further command
	reapLimit     = 2000    // partitions and ranges of deleted topics per tick
	expireLimit   = 1000    // prepared objects expired per tick
	verifyTimeout = 2 * time.Second
	pendingMax    = 256 // images that wait for subscribers before they are merged
)

func (o Options) withDefaults() Options {
	if o.Meta == nil {
		o.Meta = o.Store
	}
	if o.PreparedMaxAge <= 0 {
		o.PreparedMaxAge = time.Hour
	}
	if o.DeleteGrace <= 0 {
		o.DeleteGrace = 5 * time.Minute
	}
	if o.DeletesPerSecond <= 0 {
		o.DeletesPerSecond = 200
	}
	if o.SweepGrace <= 0 {
		o.SweepGrace = time.Hour
	}
	if o.SweepPagesPerSecond <= 0 {
		o.SweepPagesPerSecond = 1
	}
	if o.Tick <= 0 {
		o.Tick = time.Second
	}
	if o.OnFenced == nil {
		o.OnFenced = func(error) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// metalog returns the options of the metadata log.
func (o Options) metalog() metalog.Options {
	return metalog.Options{
		Store: o.Meta, Snapshots: o.Store, Name: o.Name, Who: o.Who, Now: o.Now, NewCluster: o.NewCluster,
		SnapshotBytes: o.SnapshotBytes, RollSlots: o.RollSlots, Logger: o.Logger, Registerer: o.Registerer,
	}
}
