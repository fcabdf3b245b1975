package control

import (
	"context"
	"sync"

	"sluice/cluster/meta"
)

// ProducerIDs hands out producer ids from a block that the controller gave; what is left of it at the end is lost.
type ProducerIDs struct {
	client Client
	node   meta.NodeRef

	mu        sync.Mutex
	next, end int64
}

// NewProducerIDs returns the ids of a node.
func NewProducerIDs(client Client, node meta.NodeRef) *ProducerIDs {
	return &ProducerIDs{client: client, node: node}
}

// Next returns an id that nobody had before. While a new block is fetched others wait for it.
func (p *ProducerIDs) Next(ctx context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == p.end {
		block, err := Do[meta.ProducerIDs](ctx, p.client, &meta.AllocateProducerIDs{Node: p.node})
		if err != nil {
			return -1, err
		}
		p.next, p.end = block.First, block.First+int64(block.Count)
	}
	p.next++
	return p.next - 1, nil
}
