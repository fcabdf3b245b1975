package metalog

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/storage/objstore"
	"sluice/storage/objstore/retry"
)

// Options set up a log or a reader. Store is required.
type Options struct {
	Store     objstore.Store   // of the slots
	Snapshots objstore.Store   // of the snapshots, which is the bucket of the cluster; Store
	Name      string           // key prefix; "meta"
	Who       string           // who takes over, for people; "sluice"
	Node      base.NodeID      // which node the process is; 0 or base.NoNode: none yet
	Now       func() time.Time // for the time in the record that creates the cluster; time.Now

	NewCluster    base.UUID // id of the cluster if it has to be created; zero: a random one
	SnapshotBytes int64     // Due after so many bytes of log, or the size of the last snapshot if that is more; 4 MiB
	RollSlots     uint64    // Full after so many slots of an epoch; 4096

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

// readAhead is how many slots a replay reads at a time: as many requests in flight.
const readAhead = 16

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "meta"
	}
	if o.Who == "" {
		o.Who = "sluice"
	}
	if o.Node == 0 { // not given; a controller that is node 0 names itself once it has registered
		o.Node = base.NoNode
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SnapshotBytes <= 0 {
		o.SnapshotBytes = 4 << 20
	}
	if o.RollSlots <= 0 {
		o.RollSlots = 4096
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	together := o.Snapshots == nil || o.Snapshots == o.Store
	o.Store = repeating(o.Store, o.Logger)
	if together {
		o.Snapshots = o.Store
	} else {
		o.Snapshots = repeating(o.Snapshots, o.Logger)
	}
	return o
}

func repeating(s objstore.Store, log *slog.Logger) objstore.Store {
	if _, ok := s.(*retry.Store); ok {
		return s
	}
	return retry.New(s, retry.Options{Logger: log})
}

// apart says that the slots have a place of their own, outside of the bucket that holds the snapshots.
func (o Options) apart() bool { return o.Snapshots != o.Store }
