package node

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/config"
	"sluice/broker/coord"
	"sluice/broker/group"
	"sluice/broker/lead"
	"sluice/broker/marker"
	"sluice/broker/partition"
	"sluice/broker/txn"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/cluster/peer"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// What nodes ask of each other for transactions. The bodies are requests and responses of the Kafka protocol.
const (
	// methodAddPartitions asks the coordinator to add partitions to a transaction, or whether they are in it.
	methodAddPartitions = control.FreeMethod + iota
	// methodWriteMarkers has the leader of partitions write markers.
	methodWriteMarkers
)

// markersVersion is the version of WriteTxnMarkers that nodes speak with each other.
const markersVersion int16 = 2

// transactions are this node's parts in transactions: it coordinates some, its partitions are in others, and ask about those.
type transactions struct {
	coordinator *txn.Coordinator
	client      *txn.Client
	markers     *marker.Writer // of the partitions that are led here
}

func txnConfig(c *config.Config) txn.Config {
	return txn.Config{
		TopicPartitions: int32(c.TxnPartitions), MaxTimeout: c.TxnMaxTimeout, IDExpiration: c.TxnIDExpiration, IDCheckInterval: c.TxnIDCheck,
	}
}

// newTransactions makes this node's parts; they do nothing before partitions are served.
func (n *Node) newTransactions(ids *control.ProducerIDs) *transactions {
	t := &transactions{}
	t.coordinator = txn.New(txn.Options{
		Cluster: coord.NewCluster(n.member), Config: txnConfig(n.opt.Config), ProducerID: ids.Next, Leaders: n.leaderOf,
		Markers: func(node base.NodeID) txn.MarkerWriter {
			if node != n.self.ID {
				return remoteMarkers{n.member, node}
			}
			if n.serving.Load() == nil {
				return nowhere{}
			}
			return t.markers
		},
		GroupPartition: func(name string) txn.TopicPartition {
			return txn.TopicPartition{Topic: group.Topic, Index: n.groups.PartitionFor(name)}
		},
		Gate: func() bool { return n.member.Contact() == nil }, Logger: n.log, Registerer: n.opt.Registry,
	})
	t.client = txn.NewClient(txn.ClientOptions{
		Node: n.self.ID, Coordinator: t.coordinator.Leader, Peers: remoteCoordinators{n.member},
		Local: func(r txn.AddPartitions, done func([]kerr.Code)) { t.coordinator.AddPartitions(2, r, done) },
	})
	return t
}

// nowhere writes no markers; they are tried again.
type nowhere struct{}

// WriteMarkers implements txn.MarkerWriter.
func (nowhere) WriteMarkers(_ context.Context, _ *msg.WriteTxnMarkersRequest, done func(*msg.WriteTxnMarkersResponse)) {
	done(new(msg.WriteTxnMarkersResponse))
}

// close ends the coordinator first: what it still waits for, others will find in its log.
func (t *transactions) close() {
	t.coordinator.Close()
	t.client.Close()
}

// leaderOf finds the leader of a partition in the image.
func (n *Node) leaderOf(p txn.TopicPartition) (node base.NodeID, exists bool) {
	img := n.member.Image()
	t, ok := img.TopicByName(p.Topic)
	if !ok || p.Index >= t.Partitions {
		return base.NoNode, false
	}
	part, ok := img.Partition(t.ID, p.Index)
	if !ok || part.State != meta.Serving {
		return base.NoNode, true
	}
	return part.Leader, true
}

// serveTransactions lets markers in: from now on the partitions that are led here can be found.
func (n *Node) serveTransactions(directory *lead.Directory) {
	n.txns.markers = marker.New(directory, n.groups)
	n.serving.Store(n.txns)
	maxMS := n.opt.Config.TxnMaxTimeout.Milliseconds()
	n.opt.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_partition_late_transactions",
		Help: "Partitions led here with a transaction that is open for longer than transaction.max.timeout.ms and five minutes: nobody will end it but an administrator.",
	}, func() (late float64) {
		for p := range directory.All() {
			if p.LateTransaction(maxMS) {
				late++
			}
		}
		return late
	}))
}

// leading returns what is told of partitions that this node begins to lead, and gives up.
func (n *Node) leading() (onServing, onClosed func(*partition.Partition)) {
	groups, txns, shares := n.groups, n.txns.coordinator, n.shares.Load()
	return func(p *partition.Partition) {
			groups.OnServing(p)
			txns.OnServing(p)
			shares.onServing(p)
		}, func(p *partition.Partition) {
			groups.OnClosed(p)
			txns.OnClosed(p)
			shares.onClosed(p)
		}
}

// txnServices are what this node answers to others.
func (n *Node) txnServices() map[peer.Method]control.Service {
	return map[peer.Method]control.Service{
		methodAddPartitions: {Name: "add-partitions-to-txn", Handle: n.serveAddPartitions},
		methodWriteMarkers:  {Name: "write-txn-markers", Handle: n.serveWriteMarkers},
	}
}

func errNotServing() error {
	return base.Errorf(base.Unavailable, "this node does not serve transactions yet, or any more")
}

func (n *Node) serveAddPartitions(ctx context.Context, body []byte) ([]byte, error) {
	t := n.serving.Load()
	if t == nil {
		return nil, errNotServing()
	}
	req, r := new(msg.AddPartitionsToTxnRequest), kbin.NewReader(body)
	if req.Decode(&r, txn.AddPartitionsVersion); r.Err() != nil {
		return nil, r.Err()
	}
	answered := make(chan *msg.AddPartitionsToTxnResponse, 1)
	t.coordinator.AddPartitionsToTxn(txn.AddPartitionsVersion, req, func(res *msg.AddPartitionsToTxnResponse) { answered <- res })
	return await(ctx, answered, txn.AddPartitionsVersion)
}

func (n *Node) serveWriteMarkers(ctx context.Context, body []byte) ([]byte, error) {
	t := n.serving.Load()
	if t == nil {
		return nil, errNotServing()
	}
	req, r := new(msg.WriteTxnMarkersRequest), kbin.NewReader(body)
	if req.Decode(&r, markersVersion); r.Err() != nil {
		return nil, r.Err()
	}
	answered := make(chan *msg.WriteTxnMarkersResponse, 1)
	t.markers.WriteMarkers(ctx, req, func(res *msg.WriteTxnMarkersResponse) { answered <- res })
	return await(ctx, answered, markersVersion)
}

// await waits for a response and encodes it.
func await[R msg.Message](ctx context.Context, answered <-chan R, version int16) ([]byte, error) {
	select {
	case res := <-answered:
		return res.Append(nil, version), nil
	case <-ctx.Done():
		return nil, base.Wrap(base.Undetermined, ctx.Err())
	}
}

// remoteCoordinators asks the coordinators of other nodes.
type remoteCoordinators struct{ member *control.Member }

// AddPartitions implements txn.Peers.
func (r remoteCoordinators) AddPartitions(ctx context.Context, node base.NodeID, body []byte) ([]byte, error) {
	return r.member.Ask(ctx, node, methodAddPartitions, body)
}

// remoteMarkers has another node write markers.
type remoteMarkers struct {
	member *control.Member
	node   base.NodeID
}

// WriteMarkers implements txn.MarkerWriter. It blocks. Where nothing is known of what came of it the response is empty.
func (r remoteMarkers) WriteMarkers(ctx context.Context, req *msg.WriteTxnMarkersRequest, done func(*msg.WriteTxnMarkersResponse)) {
	res := new(msg.WriteTxnMarkersResponse)
	body, err := r.member.Ask(ctx, r.node, methodWriteMarkers, req.Append(nil, markersVersion))
	if err == nil {
		in := kbin.NewReader(body)
		if res.Decode(&in, markersVersion); in.Err() != nil {
			res = new(msg.WriteTxnMarkersResponse)
		}
	}
	done(res)
}
