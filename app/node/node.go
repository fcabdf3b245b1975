package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/config"
	"sluice/base/slab"
	"sluice/broker/clean"
	"sluice/broker/fetch"
	"sluice/broker/group"
	"sluice/broker/lead"
	"sluice/broker/load"
	"sluice/broker/partition"
	"sluice/broker/topicconfig"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/cluster/rescue"
	"sluice/edge/admin"
	"sluice/edge/handle"
	"sluice/edge/kafka"
	"sluice/edge/telemetry"
	"sluice/storage/compact"
	"sluice/storage/objstore"
	"sluice/storage/objstore/ledger"
	"sluice/storage/objstore/retry"
	"sluice/storage/wal"
	"sluice/storage/wal/disk"
)

// Node is a running broker.
type Node struct {
	opt    Options
	log    *slog.Logger
	places places
	pool   slab.Pool

	peerLn, adminLn net.Listener
	listeners       []listener // for clients, at least one
	peerEndpoint    meta.Endpoint
	security        security
	admin           *admin.Server
	release         func() // the data directory

	ledger  *ledger.Ledger
	prices  *ledger.Prices
	store   objstore.Store
	meta    objstore.Store // of the metadata log; store, unless there is a place of its own
	member  *control.Member
	self    meta.NodeRef
	rescues atomic.Pointer[rescue.Worker]
	meter   atomic.Pointer[load.Meter]
	lead    *lead.Leader
	groups  *group.Coordinator
	shares  atomic.Pointer[shares]
	txns    *transactions
	serving atomic.Pointer[transactions] // txns, when markers can be written
	cleaner *clean.Cleaner
	compact atomic.Pointer[compact.Worker] // nil: not running
	rate    *compact.Bandwidth             // of compaction; nil: no limit
	server  *kafka.Server
	served  sync.WaitGroup
	unwatch func() // of the image
	limits  *limits

	telemetry   *telemetry.Receiver // nil: off
	unsubscribe func()              // it from the image

	compactor *clean.Compactor // of keys; nil: log.cleaner.enable is off

	incarnation    base.UUID
	volumes        volumes
	failedVolumes  prometheus.Counter
	unwatchVolumes func() // ends the loop that removes what is drained

	walStores struct {
		sync.Mutex
		known map[string]objstore.Store // by URL
	}

	ready  atomic.Bool
	failed chan struct{}
	mu     struct {
		sync.Mutex
		err error
	}
}

// Start starts a broker and returns when it serves clients. ctx bounds the start only. Errors of kind Invalid are the
// configuration's fault and say what would be right. After an error nothing of the broker runs.
func Start(ctx context.Context, opt Options) (*Node, error) {
	n := &Node{opt: opt, log: opt.Logger, incarnation: base.NewUUID(), failed: make(chan struct{}), release: func() {}}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.opt.Memory == (config.Memory{}) {
		n.opt.Memory = opt.Config.Divide(0)
	}
	n.pool.SetFreeMax(int64(n.opt.Memory.Spare))
	if n.opt.Registry == nil {
		n.opt.Registry = prometheus.NewRegistry()
	}
	if n.opt.Listen == nil {
		n.opt.Listen = net.Listen
	}
	if err := n.start(ctx); err != nil {
		n.abandon()
		return nil, err
	}
	return n, nil
}

func (n *Node) start(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"listen", n.listen}, {"open the bucket", n.openStore}, {"join the cluster", n.join}, {"recover", n.recover},
		{"open the WAL", n.openWALs}, {"serve", n.serve},
	} {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return err
		}
		n.log.Debug("start", "step", step.name, "took", time.Since(began))
		if err := n.Err(); err != nil {
			return err
		}
	}
	n.startCompaction()
	n.ready.Store(true)
	n.log.Info("ready", "node", n.self.ID, "epoch", n.self.Epoch, "kafka", n.Info().Kafka, "listen", n.Info().Listen)
	return nil
}

// listen binds the ports and claims the data directory.
func (n *Node) listen(context.Context) (err error) {
	c := n.opt.Config
	if n.places, err = findPlaces(c); err != nil {
		return err
	}
	if err := n.listenClients(); err != nil {
		return err
	}
	if err := n.securePeers(n.listeners[0].endpoint.Host); err != nil {
		return err
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_build_info", Help: "1, labelled with the version.", ConstLabels: prometheus.Labels{"version": n.opt.Version}})
	build.Set(1)
	n.opt.Registry.MustRegister(build)
	if c.Admin != "off" {
		if n.adminLn, err = n.opt.Listen("tcp", c.Admin); err != nil {
			return base.Errorf(base.Invalid, "setting admin = %q: %w; give a free port with --admin, port 0 for any, or off", c.Admin, err)
		}
		n.admin = admin.Start(n.adminLn, admin.Options{Gatherer: n.opt.Registry, Healthy: n.Err, Ready: n.readiness, Index: "Sluice " + n.opt.Version, Logger: n.log})
	}
	release, err := n.claimData()
	if err == nil {
		n.release = release
	}
	return err
}

// dataDir is the directory for what is kept on this machine, empty if nothing is.
func (n *Node) dataDir() string {
	if n.opt.Files == nil && scheme(n.places.bucket) == "mem" && !slices.ContainsFunc(n.places.wals, func(url string) bool { return scheme(url) == "file" }) { // a test
		return ""
	}
	return n.opt.Config.Data
}

// openStore opens and probes the bucket and the place of the metadata log.
func (n *Node) openStore(ctx context.Context) (err error) {
	if err := n.openLedger(); err != nil {
		return err
	}
	repeat := retry.Options{Logger: n.log, Registerer: n.opt.Registry}
	if n.store, err = n.open(ctx, "bucket", n.places.bucket, "bucket", n.opt.Store, repeat); err != nil {
		if errors.Is(err, objstore.ErrNoCondition) {
			err = fmt.Errorf("%w; %s", err, n.places.wayOut())
		}
		return err
	}
	n.meta = n.store
	if n.places.meta != "" {
		repeat.Name, repeat.Metrics = "place of the metadata log", "sluice_metastore"
		repeat.Max = time.Second // the whole cluster waits for it
		if n.meta, err = n.open(ctx, repeat.Name, n.places.meta, "metadata", nil, repeat); err != nil {
			return err
		}
	}
	return n.openWALStore(ctx)
}

// openWALStore opens and probes the stores that WALs have to themselves.
func (n *Node) openWALStore(ctx context.Context) error {
	n.walStores.known = map[string]objstore.Store{}
	for _, url := range n.places.walStores() {
		store, err := n.open(ctx, "store of the WAL", url, "wal", nil, n.repeatWAL())
		if err != nil {
			return err
		}
		n.walStores.known[url] = store
	}
	return nil
}

// repeatWAL says how requests to stores that hold only WALs are repeated and counted.
func (n *Node) repeatWAL() retry.Options {
	return retry.Options{Name: "store of the WAL", Metrics: "sluice_walstore", Max: time.Second, Logger: n.log, Registerer: n.opt.Registry}
}

// walStore returns the store that holds the WALs at url: its own, or that of a node it rescues.
func (n *Node) walStore(ctx context.Context, url string) (objstore.Store, error) {
	n.walStores.Lock()
	defer n.walStores.Unlock()
	if store := n.walStores.known[url]; store != nil {
		return store, nil
	}
	store, err := objstore.Open(ctx, url, objstore.Options{Getenv: n.opt.Getenv})
	if err != nil {
		return nil, fmt.Errorf("store of a WAL: %w", err)
	}
	n.walStores.known[url] = retry.New(n.ledger.Wrap("wal", store), n.repeatWAL())
	return n.walStores.known[url], nil
}

// open opens the store at url, unless there is one, and probes it. The one that it returns repeats requests and has each attempt counted under a
// name.
func (n *Node) open(ctx context.Context, what, url, name string, store objstore.Store, repeat retry.Options) (objstore.Store, error) {
	if store == nil {
		var err error
		if store, err = objstore.Open(ctx, url, objstore.Options{Getenv: n.opt.Getenv}); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	store = retry.New(n.ledger.Wrap(name, store), repeat)
	probe, cancel := context.WithTimeout(ctx, n.opt.Config.StoreTimeout)
	defer cancel()
	for {
		usable, err := n.probe(probe, name, store)
		if err == nil {
			return usable, nil
		}
		switch {
		case !base.IsKind(err, base.Undetermined):
			return nil, err
		case probe.Err() != nil: // no answer came in time, to a put
			return nil, base.Wrap(base.Unavailable, err)
		} // of a put whose answer was lost nothing is known
	}
}

// probe returns what to use of a store. A bucket that holds only data need not do put-if-absent.
func (n *Node) probe(ctx context.Context, name string, store objstore.Store) (objstore.Store, error) {
	if name != "bucket" || !n.places.dataOnly() {
		return store, objstore.Probe(ctx, store)
	}
	usable, err := objstore.ProbeData(ctx, store)
	if err == nil && usable != store {
		n.log.Warn("the bucket has no put-if-absent; it holds data only, so that is enough", "bucket", store)
	}
	return usable, err
}

// files is the file system of WALs in directories, and of the data directory.
func (n *Node) files() disk.FS {
	if n.opt.Files != nil {
		return n.opt.Files
	}
	return disk.OS{}
}

func (n *Node) walOptions() wal.Options {
	return wal.Options{FS: n.files(), Cluster: n.member.Image().ClusterID(), Pool: &n.pool, Store: n.store, OpenStore: n.walStore, PutsPerSecond: float64(n.opt.Config.WALPutsPerSecond), StallTimeout: n.opt.Config.WALStallTimeout, Logger: n.log}
}

// serve opens the partitions and then accepts connections.
func (n *Node) serve(ctx context.Context) error {
	c, reg := n.opt.Config, n.opt.Registry
	ids := control.NewProducerIDs(n.member, n.self)
	n.txns = n.newTransactions(ids)
	sharing := n.newShares()
	n.groups = group.New(group.Options{
		Txns:    n.txns.client,
		Cluster: group.NewCluster(n.member), Config: groupConfig(c), Logger: n.log, Registerer: reg,
		Gate:        func() bool { return n.member.Contact() == nil },
		GroupConfig: n.groupConfigs,
		Shares:      states{sharing.client, sharing}, ShareMS: sharing.setting,
	})
	n.unwatch = n.member.Subscribe(n.forgetTopics)
	n.watchVolumes()
	n.security.follow(n, c)
	n.limits = startLimits(n.member, n.self.ID, c, n.opt.Now, reg) // before the leader, whose directory says what is in force
	onServing, onClosed := n.leading()
	n.lead = lead.Start(lead.Options{
		Node: n.self, Client: n.member, Engine: lead.EngineOf(n.volumes.set), Logger: n.log, Registerer: reg,
		OnServing: onServing, OnClosed: onClosed,
	})
	directory := n.lead.Directory() // n.lead goes before the heartbeats do
	n.serveTransactions(directory)
	sharing.serve(directory)
	n.meter.Store(load.NewMeter(load.Options{Partitions: func() iter.Seq[*partition.Partition] { return directory.All() }}))
	n.startCleaning(c)
	n.startTelemetry(c)
	h := handle.New(handle.Options{
		Node: n.self, Control: n.member, Directory: n.lead.Directory(), Groups: n.groups, Shares: sharing.manager.Load(), ShareStates: sharing.coordinator, Config: c,
		Txns: n.txns.coordinator, TxnClient: n.txns.client, Markers: n.txns.markers, ProducerIDs: ids,
		Fetcher:  fetch.New(fetch.Options{Directory: n.lead.Directory(), Sessions: c.FetchSessions, MaxBytes: int(c.FetchMaxBytes), Contact: n.member.Contact, Registerer: reg}),
		Security: n.security.forHandler(c), Contact: n.member.Contact, Follower: n.follower, LogDir: n.store.String(), Quotas: n.limits.quotas, Telemetry: n.telemetry, LogLevel: n.opt.LogLevel, Logger: n.log,
	})
	n.server = kafka.New(kafka.Options{
		Listeners: n.security.listeners, Handler: h, Pool: &n.pool, MaxFrame: int(c.MaxRequest), MaxConnections: c.MaxConnections, MaxInFlight: c.MaxInFlight,
		RequestMemory: int64(n.opt.Memory.Requests), IdleTimeout: idleTimeout(c), Gate: n.limits, APIName: handle.APIName, Logger: n.log, Registerer: reg,
	})
	wait, cancel := context.WithTimeout(ctx, servingTimeout)
	defer cancel()
	if err := n.lead.WaitServing(wait); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n.log.Warn("some partitions are not served yet; clients are told so", "error", err)
	}
	for _, l := range n.listeners {
		n.served.Go(func() {
			if err := n.server.Serve(l.Name, l.ln); err != nil {
				n.fail(err)
			}
		})
	}
	return nil
}

// follower says how far another node has followed the metadata log, as far as this node is told.
func (n *Node) follower(id base.NodeID) (f handle.Follower, ok bool) {
	pos, at, ok := n.member.Heard(id)
	f = handle.Follower{Pos: pos, FetchMS: at.UnixMilli(), CaughtUpMS: -1}
	if pos >= n.member.Image().Pos() {
		f.CaughtUpMS = f.FetchMS
	}
	return f, ok
}

// groupConfigs returns what is set at run time for a group, or for all.
func (n *Node) groupConfigs(group string) map[string]string {
	img := n.member.Image()
	return topicconfig.GroupConfigs(img.Configs(meta.GroupConfig, group), lead.BrokerConfigs(img, n.self.ID))
}

func groupConfig(c *config.Config) group.Config {
	return group.Config{
		MinSessionTimeout: &c.GroupMinSession, MaxSessionTimeout: c.GroupMaxSession, InitialRebalanceDelay: &c.GroupInitialDelay,
		MaxSize: c.GroupMaxSize, ConsumerMaxSize: c.ConsumerMaxSize, ConsumerAssignors: strings.Split(c.ConsumerAssignors, ","),
		ConsumerSession: c.ConsumerSession, ConsumerSessionMin: c.ConsumerSessionMin, ConsumerSessionMax: c.ConsumerSessionMax,
		ConsumerInterval: c.ConsumerBeat, ConsumerIntervalMin: c.ConsumerBeatMin, ConsumerIntervalMax: c.ConsumerBeatMax,
		ConsumerAssign: &c.ConsumerAssign, ConsumerAssignMin: c.ConsumerAssignMin, ConsumerAssignMax: c.ConsumerAssignMax,
		ConsumerMigration: c.ConsumerMigration, RegexRefresh: c.ConsumerRegex, ShareMaxSize: c.ShareMaxSize, StreamsMaxSize: c.Streams.MaxSize,
		OffsetsRetention: c.OffsetsRetention, OffsetsCheckInterval: c.OffsetsCheck,
		OffsetMetadataMax: c.OffsetMetadataMax, TopicPartitions: int32(c.OffsetsPartitions),
	}
}

// forgetTopics tells the coordinators of deleted topics.
func (n *Node) forgetTopics(old, img *meta.Image) {
	forget := func(t meta.Topic) {
		if _, still := img.TopicByID(t.ID); !still {
			n.groups.OnTopicDeleted(t.Name, t.ID)
			if s := n.shares.Load(); s != nil {
				s.coordinator.OnTopicDeleted(t.ID)
			}
		}
	}
	delta := img.DeltaFrom(old)
	if delta == nil { // it is not known what changed
		for t := range old.Topics() {
			forget(t)
		}
		return
	}
	for id := range delta.Topics {
		if t, was := old.TopicByID(id); was {
			forget(t)
		}
	}
}

// fail records why the broker cannot go on.
func (n *Node) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.err != nil {
		return
	}
	n.mu.err = err
	close(n.failed)
}

// Failed is closed when the broker cannot go on; Err says why. It should be shut down then.
func (n *Node) Failed() <-chan struct{} { return n.failed }

// Err returns why the broker cannot go on; nil if it can.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.err
}

func (n *Node) readiness() error {
	if err := n.Err(); err != nil {
		return err
	}
	if !n.ready.Load() {
		return base.Errorf(base.Unavailable, "the broker is starting or shutting down")
	}
	return nil
}

// Info says where the broker is.
func (n *Node) Info() Info {
	i := Info{
		Cluster: n.member.Image().ClusterID(), Node: n.self.ID, Listen: n.listeners[0].ln.Addr().String(),
		Kafka:  net.JoinHostPort(n.listeners[0].endpoint.Host, strconv.Itoa(int(n.listeners[0].endpoint.Port))),
		Bucket: n.store.String(), WAL: n.volumes.String(), Meta: n.meta.String(),
	}
	if n.adminLn != nil {
		i.Admin = n.adminLn.Addr().String()
	}
	return i
}

// idleTimeout is how long a connection may be idle: as good as for ever if the setting is not above 0.
func idleTimeout(c *config.Config) time.Duration {
	if c.IdleTimeout <= 0 {
		return 100 * 365 * 24 * time.Hour
	}
	return c.IdleTimeout
}
