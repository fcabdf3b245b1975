package coord

import (
	"context"
	"log/slog"
	"time"

	"sluice/base"
	"sluice/wire/kerr"
)

// Log is what a coordinator needs of its partition.
type Log interface {
	// Replay calls fn with every record from the start of the log to its high watermark as of the call, in offset order. It
	// returns the first error, fn's own unchanged. The slices of a record may be kept.
	Replay(ctx context.Context, fn func(Record) error) error
	// Append appends the records as one batch. It never blocks; batches are appended in the order of the calls. done is called
	// exactly once, successes in that order too: with the offset of the first record when all are durable, or with an error, after which
	// they may be in the log or not. done may run on any goroutine and must not block.
	Append(records []Record, done func(first base.Offset, err error))
	// BatchBytesMax bounds the keys and values of one Append, in bytes.
	BatchBytesMax() int
}

// TxnLog is implemented by logs that take a producer's records and markers; the machine that asks for them works on such a log.
type TxnLog interface {
	Log
	// AppendTxn is Append for the records of a producer, or for a marker. The error is a *Refusal if the partition would not have it: then
	// nothing was written, done may run before those of earlier appends, and later appends are none the worse for it.
	AppendTxn(a Append, done func(first base.Offset, err error))
}

// Refusal is why a partition would not take an append of a transaction. Nothing was written.
type Refusal struct{ Code kerr.Code }

func (r *Refusal) Error() string { return "refused: " + r.Code.String() }

// Options are the settings and the surroundings of a shard.
type Options struct {
	// Name says which partition it is, for logs: "__consumer_offsets-7".
	Name string
	// Log is the partition.
	Log Log
	// NewMachine makes an empty machine, for every incarnation.
	NewMachine func() Machine
	// Do carries out what a machine asks for by [Effects.Do]; needed if the machine asks for anything. It must not block.
	Do func(action any)
	// Gate reports whether this node may still answer; nil means always. It must not block.
	Gate func() bool
	// CallsMax bounds the calls that wait for an answer. 0 means 65,536.
	CallsMax int
	// PendingBytesMax bounds keys and values in appends under way, in bytes: a [Writer] that finds the bound reached is refused with
	// COORDINATOR_NOT_AVAILABLE. What other commands append (rebalances) is bounded by the number of groups. 0 means 32 MiB.
	PendingBytesMax int
	// ReloadDelayMin and ReloadDelayMax bound the jittered, growing pause between attempts to load. 0 means 50 ms and 5 s.
	ReloadDelayMin, ReloadDelayMax time.Duration
	// Logger may be nil.
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
}

func (o *Options) defaults() {
	if o.CallsMax == 0 {
		o.CallsMax = 1 << 16
	}
	if o.PendingBytesMax == 0 {
		o.PendingBytesMax = 32 << 20
	}
	if o.ReloadDelayMin == 0 {
		o.ReloadDelayMin = 50 * time.Millisecond
	}
	if o.ReloadDelayMax == 0 {
		o.ReloadDelayMax = 5 * time.Second
	}
	if o.Gate == nil {
		o.Gate = func() bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil, "test")
	}
	if o.Log == nil || o.NewMachine == nil {
		panic("BUG: coord.Options without Log or NewMachine")
	}
}
