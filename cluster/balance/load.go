package balance

import (
	"sluice/base"
	"sluice/cluster/meta"
)

// NodeLoad is what a node reports of itself. Rates are per second. A partition that is not listed has its part of what the totals hold
// beyond the listed ones.
type NodeLoad struct {
	CPU        float64         // share of the process's cores in use, 0 to 1
	BytesIn    float64         // record bytes appended
	BytesOut   float64         // record bytes read by clients
	Requests   float64         // appends and reads of partitions
	Partitions []PartitionLoad // the busiest ones, at most MaxPartitions
}

// PartitionLoad is what one partition has to do with it.
type PartitionLoad struct {
	Partition meta.PartitionID
	BytesIn   float64
	BytesOut  float64
	Requests  float64
}

// Loads holds the newest report of each node. Nodes that have not reported yet are missing; a node that has died may still be in it,
// which tells how heavy its partitions were.
type Loads map[base.NodeID]NodeLoad

// Work is the measure by which the busiest partitions are found: bytes, and what a request costs besides.
func (p *PartitionLoad) Work() float64 { return p.amount().work() }
