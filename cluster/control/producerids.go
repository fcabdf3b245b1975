package control

import (
	"context"

	"sluice/base"
	"sluice/cluster/meta"
)

// ProducerIDs hands out producer ids from a block that the controller gave; what is left of it at the end is lost.
type ProducerIDs struct {
	client Client
	node   meta.NodeRef

	turn      chan struct{} // holds a token while somebody has the fields below; no mutex, for who has it may wait for the controller
	next, end int64
}

// NewProducerIDs returns the ids of a node.
func NewProducerIDs(client Client, node meta.NodeRef) *ProducerIDs {
	return &ProducerIDs{client: client, node: node, turn: make(chan struct{}, 1)}
}

// Next returns an id that nobody had before. While a new block is fetched others wait for it, each as long as its context allows.
func (p *ProducerIDs) Next(ctx context.Context) (int64, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return -1, base.Wrap(base.Unavailable, ctx.Err())
	}
	defer func() { <-p.turn }()
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
