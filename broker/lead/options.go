package lead

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/stream"
)

// Engine opens streams in this node's storage. [EngineOf] makes one of a *stream.Set.
type Engine interface {
	// Attach makes a stream usable that this node has just opened.
	Attach(s stream.StreamState) partition.Log
	// Close stops appends for good, uploads the rest and closes the streams in the catalog; one error per stream.
	Close(ctx context.Context, streams []partition.Log) []error
	// Detach forgets streams that this node does not own any more.
	Detach(streams []partition.Log)
	// Flush uploads what is durable of streams that go on taking appends, and returns when it is committed.
	Flush(ctx context.Context, streams []partition.Log) error
	// Warm begins to read the last records of streams that have just been attached, which lie together.
	Warm(ctx context.Context, streams []partition.Log)
	// Reserve makes sure that the next upload needs not ask for object ids.
	Reserve(ctx context.Context) error
	// Retire ends the appends of streams for good, and returns their ends. It does nothing, and says why, unless everything in all of them is committed.
	Retire(ctx context.Context, streams []partition.Log) (ends []base.Offset, err error)
	// CloseAll is Close for all streams.
	CloseAll(ctx context.Context) error
}

// EngineOf adapts the storage engines of the node's volumes.
func EngineOf(set *stream.Set) Engine { return engine{set} }

type engine struct{ e *stream.Set }

func (e engine) Attach(s stream.StreamState) partition.Log { return e.e.Attach(s) }

func (e engine) Close(ctx context.Context, streams []partition.Log) []error {
	return e.e.CloseStreams(ctx, streamsOf(streams))
}

func streamsOf(logs []partition.Log) []*stream.Stream {
	ss := make([]*stream.Stream, len(logs))
	for i, s := range logs {
		ss[i] = s.(*stream.Stream)
	}
	return ss
}

func (e engine) Flush(ctx context.Context, streams []partition.Log) error {
	return e.e.FlushStreams(ctx, streamsOf(streams))
}

func (e engine) Warm(ctx context.Context, streams []partition.Log) { e.e.Warm(ctx, streamsOf(streams)) }

func (e engine) Reserve(ctx context.Context) error { return e.e.ReserveObjects(ctx) }

func (e engine) Retire(ctx context.Context, streams []partition.Log) ([]base.Offset, error) {
	return stream.Retire(ctx, streamsOf(streams)...)
}

func (e engine) Detach(streams []partition.Log) {
	for _, s := range streams {
		e.e.Detach(s.(*stream.Stream))
	}
}

func (e engine) CloseAll(ctx context.Context) error { return e.e.CloseAll(ctx) }

// Options are what a Leader works with. Node, Client and Engine are required.
type Options struct {
	Node   meta.NodeRef
	Client control.Client
	Engine Engine
	// OnServing is called when a partition has come into the directory, OnClosed when it has left it, before its readers are woken, or when a
	// move is about to stop its appends; if that move comes to nothing, OnServing is called again. They are called one at a time, off all
	// locks, and must not block.
	OnServing, OnClosed func(*partition.Partition)

	BatchMax      int           // partitions in one command; 1000
	Openers       int           // commands that open at the same time; 4
	Loads         int           // partitions loaded at the same time; 32
	Closers       int           // batches of streams closed at the same time; 4
	RetryMin      time.Duration // back-off; 100 ms
	RetryMax      time.Duration // 10 s
	CallTimeout   time.Duration // of one command; 30 s
	SnapshotBytes int64         // see partition.Options
	MoveBatch     int           // partitions moved away together; 100
	Takes         int           // partitions that were handed over loaded at the same time; 128
	MoveAhead     time.Duration // for the upload ahead of a move, while all is served; 60 s
	MoveTimeout   time.Duration // for what a paused partition waits for before HandOver; then it serves again; 10 s
	HandOverRetry time.Duration // for one try of HandOver; 5 s

	Now        func() time.Time      // nil means time.Now
	Logger     *slog.Logger          // nil means none
	Registerer prometheus.Registerer // nil means no metrics
}

func (o Options) withDefaults() Options {
	o.BatchMax, o.Openers, o.Loads, o.Closers = or(o.BatchMax, 1000), or(o.Openers, 4), or(o.Loads, 32), or(o.Closers, 4)
	o.RetryMin, o.RetryMax = or(o.RetryMin, 100*time.Millisecond), or(o.RetryMax, 10*time.Second)
	o.CallTimeout = or(o.CallTimeout, 30*time.Second)
	o.MoveBatch, o.MoveAhead = or(o.MoveBatch, 100), or(o.MoveAhead, time.Minute)
	o.MoveTimeout, o.HandOverRetry = or(o.MoveTimeout, 10*time.Second), or(o.HandOverRetry, 5*time.Second)
	o.Takes = or(o.Takes, 128)
	if o.OnServing == nil {
		o.OnServing = func(*partition.Partition) {}
	}
	if o.OnClosed == nil {
		o.OnClosed = func(*partition.Partition) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func or[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}
