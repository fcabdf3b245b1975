package node

import (
	"context"
	"errors"
	"fmt"
)

// Shutdown stops the broker in order: requests that were read are answered, everything is uploaded, all streams are closed. When
// ctx ends first, or the broker has failed, the rest is abandoned, for the next start to rescue; nothing acknowledged is lost. It
// is called once.
func (n *Node) Shutdown(ctx context.Context) error {
	n.ready.Store(false)
	var err error
	if n.Err() == nil {
		err = n.stop(ctx)
	}
	n.abandon()
	return err
}

// stop does what is worth waiting for.
func (n *Node) stop(ctx context.Context) error {
	n.server.Quiesce()
	n.unwatch()
	n.unwatch = nil
	n.cleaner.Close()
	n.groups.Close()
	answered := make(chan error, 1)
	go func() { answered <- n.server.Shutdown(ctx) }()
	var errs []error
	if err := n.lead.CloseAll(ctx); err != nil { // wakes the fetches that wait
		errs = append(errs, fmt.Errorf("close partitions: %w", err))
	}
	if err := <-answered; err != nil {
		errs = append(errs, fmt.Errorf("answer requests: %w", err))
	}
	if err := n.engine.Close(ctx); err != nil {
		errs = append(errs, fmt.Errorf("upload: %w", err))
	}
	n.cleaner, n.groups, n.lead = nil, nil, nil
	return errors.Join(errs...)
}

// abandon ends whatever still runs, without waiting for anything that may hang. It works in any state of a start.
func (n *Node) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), abandonTimeout)
	defer cancel()
	over, stop := context.WithCancel(context.Background())
	stop()
	if n.server != nil {
		n.server.Shutdown(over)
		n.served.Wait()
	} else if n.kafkaLn != nil {
		n.kafkaLn.Close()
	}
	if n.unwatch != nil {
		n.unwatch()
	}
	if n.cleaner != nil {
		n.cleaner.Close()
	}
	if n.groups != nil {
		n.groups.Close()
	}
	if n.lead != nil {
		n.lead.CloseAll(over)
	}
	if n.engine != nil && n.wal != nil {
		n.engine.Abandon()
	}
	if n.wal != nil {
		n.wal.Close(ctx)
	}
	if n.rescues != nil {
		n.rescues.Close()
	}
	if n.ctl != nil {
		n.ctl.Close()
	}
	if n.admin != nil {
		n.admin.Close(ctx)
	} else if n.adminLn != nil {
		n.adminLn.Close()
	}
	n.release()
}
