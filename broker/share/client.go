package share

import (
	"context"
	"time"

	"sluice/base"
	"sluice/wire/kerr"
)

// Peers carries a question to the share coordinator of another node. It blocks. An error of kind Unavailable says that nothing was done.
type Peers interface {
	AskShare(ctx context.Context, node base.NodeID, body []byte) ([]byte, error)
}

// Client asks share coordinators, of this node and of others. It is a [Store]. The methods block; they try for some seconds where trying again
// may help.
type Client struct {
	node  base.NodeID
	local *Coordinator
	peers Peers
}

// NewClient makes a client of the coordinators of a cluster; local is this node's.
func NewClient(node base.NodeID, local *Coordinator, peers Peers) *Client {
	return &Client{node: node, local: local, peers: peers}
}

const (
	attemptTimeout = 5 * time.Second        // of one question; Kafka's share.coordinator.write.timeout.ms
	attemptsMax    = 6                      // of one call
	backoffMin     = 50 * time.Millisecond  // before the second attempt, doubled with each further one
	backoffMax     = 800 * time.Millisecond //
)

// Initialize begins a share partition at an offset, NoOffset to leave the choice to the partition's leader.
func (c *Client) Initialize(ctx context.Context, k Key, stateEpoch int32, start base.Offset) error {
	_, err := c.ask(ctx, k, &initialize{k, stateEpoch, start})
	return err
}

// Read returns the state of a share partition for the leader of the partition.
func (c *Client) Read(ctx context.Context, k Key, leaderEpoch int32) (State, error) {
	return c.ask(ctx, k, &read{k, leaderEpoch})
}

// Write changes the state of a share partition.
func (c *Client) Write(ctx context.Context, k Key, w Write) error {
	_, err := c.ask(ctx, k, &write{k, w})
	return err
}

// Delete removes the state of a share partition. It is no error if there is none.
func (c *Client) Delete(ctx context.Context, k Key) error {
	_, err := c.ask(ctx, k, &remove{k})
	return err
}

// Summary returns the state of a share partition without its batches; Start is NoOffset if there is none.
func (c *Client) Summary(ctx context.Context, k Key) (State, error) {
	return c.ask(ctx, k, &summary{k})
}

// ask puts a question to the coordinator of a share partition until it is answered.
func (c *Client) ask(ctx context.Context, k Key, command any) (State, error) {
	delay := backoffMin
	for attempt := 1; ; attempt++ {
		r := c.once(ctx, k, command)
		switch r.code {
		case kerr.None:
			return r.state, nil
		case kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NetworkException:
		default:
			return State{}, &kerr.Error{Code: r.code, Message: "share coordinator: " + r.code.String()}
		}
		if attempt == attemptsMax || ctx.Err() != nil {
			return State{}, kerr.Errorf(kerr.CoordinatorNotAvailable, "the share coordinator of %s: %s", k, r.code)
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		delay = min(2*delay, backoffMax)
	}
}

// once asks once.
func (c *Client) once(ctx context.Context, k Key, command any) result {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if _, begins := command.(*initialize); begins {
		if err := c.ensureTopic(ctx); err != nil {
			return result{code: kerr.CoordinatorNotAvailable}
		}
	}
	node, ok := c.local.host.Leader(k.String())
	switch {
	case !ok:
		return result{code: kerr.CoordinatorNotAvailable}
	case node == c.node:
		answer := make(chan result, 1)
		c.local.submit(k, command, func(r result) { answer <- r })
		select {
		case r := <-answer:
			return r
		case <-ctx.Done():
			return result{code: kerr.NetworkException}
		}
	}
	body, err := c.peers.AskShare(ctx, node, encodeQuestion(k, command))
	if err == nil {
		var r result
		if r, err = decodeAnswer(body); err == nil {
			return r
		}
	}
	if base.IsKind(err, base.Unavailable) {
		return result{code: kerr.CoordinatorNotAvailable}
	}
	return result{code: kerr.NetworkException}
}

func (c *Client) ensureTopic(ctx context.Context) error {
	done := make(chan error, 1)
	c.local.host.EnsureTopic(func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	}
}

// Serve answers a question of another node's Client.
func (c *Coordinator) Serve(ctx context.Context, body []byte) ([]byte, error) {
	k, command, err := decodeQuestion(body)
	if err != nil {
		return nil, base.Wrap(base.Invalid, err)
	}
	answer := make(chan result, 1)
	c.submit(k, command, func(r result) { answer <- r })
	select {
	case r := <-answer:
		return encodeAnswer(r), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
