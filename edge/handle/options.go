package handle

import (
	"iter"
	"log/slog"

	"sluice/base"
	"sluice/base/config"
	"sluice/broker/fetch"
	"sluice/broker/group"
	"sluice/broker/marker"
	"sluice/broker/partition"
	"sluice/broker/share"
	"sluice/broker/txn"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/edge/quota"
	"sluice/edge/telemetry"
)

// Options are what a Handler works with. All are required but Logger and what says so.
type Options struct {
	Node      meta.NodeRef
	Control   control.Client
	Directory Directory
	Fetcher   *fetch.Fetcher
	Groups    *group.Coordinator
	Shares    *share.Manager
	// ShareStates is where the state of share groups is kept.
	ShareStates *share.Coordinator
	Markers     *marker.Writer
	TxnClient   TxnVerifier // asks transaction coordinators; nil: transactional batches are refused
	Txns        *txn.Coordinator
	// ProducerIDs are for idempotent producers; those of transactions come from the same.
	ProducerIDs *control.ProducerIDs
	// Contact says why this node may be out of date; nothing is handed out then that another leader might know better. Nil means never. It must
	// not block. The Fetcher and the Groups have their own.
	Contact func() error
	Config  *config.Config
	// Security says who may connect and what clients may do; nil: everybody may do everything.
	Security *Security
	// Follower says how far another node has followed the metadata, as far as it is known here; nil: nothing is known.
	Follower func(base.NodeID) (Follower, bool)
	// Telemetry takes in clients' metrics; nil: it is not offered.
	Telemetry *telemetry.Receiver
	// Quotas limits what clients do; nil: nothing does.
	Quotas *quota.Manager
	// LogLevel is the level of this process's logger, for kafka-configs.sh --entity-type broker-loggers; nil: it cannot be changed.
	LogLevel *slog.LevelVar
	LogDir   string // what DescribeLogDirs calls the bucket
	Logger   *slog.Logger
}

// Directory finds open partitions. *lead.Directory implements it; errors are *kerr.Error.
type Directory interface {
	Get(topic base.UUID, index int32) (*partition.Partition, error)
	GetByName(topic string, index int32) (*partition.Partition, error)
	Serves(topic base.UUID, index int32) bool
	Coming(topic base.UUID, index int32) bool
	ComingByName(topic string, index int32) bool
	Changed() <-chan struct{}
	Applied() base.MetaPos
	All() iter.Seq[*partition.Partition]
}
