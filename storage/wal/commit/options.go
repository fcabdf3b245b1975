package commit

import (
	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal/block"
)

// Options set up a Queue. All fields without a default are required.
type Options struct {
	Cluster base.UUID
	Node    base.NodeID
	Epoch   base.NodeEpoch
	Pool    *slab.Pool

	BlockBytes     int // a block is closed before it would grow beyond this; a larger record gets a block of its own
	ArenaBytes     int // memory is taken from the pool in pieces of this size; at least BlockBytes
	MaxRecordBytes int // larger records are refused with Invalid
	Pace           Pace

	Confirm  func() error       // called before each delivery; an error fails the log. nil: nothing to confirm
	OnBlock  func(*block.Block) // nil: blocks are released
	OnFailed func(error)        // nil: nobody is told
	Metrics  *Metrics           // nil: none
}
