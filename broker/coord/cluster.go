package coord

import (
	"context"
	"slices"
	"unicode/utf16"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
)

// Cluster is what coordinators need to know of the cluster. Its methods do not block, CreateTopic aside. [NewCluster] makes one of the
// cluster's image.
type Cluster interface {
	// Partitions returns how many partitions a topic has, 0 if it does not exist.
	Partitions(topic string) int32
	// Leader returns the node that serves a partition, false if none does at the moment.
	Leader(topic string, index int32) (base.NodeID, bool)
	// Endpoint returns where clients that came in by a listener find a node.
	Endpoint(node base.NodeID, listener string) (host string, port int32, ok bool)
	// CreateTopic creates a topic and returns when it can be seen here. It is no error if it exists.
	CreateTopic(ctx context.Context, name string, partitions int32, configs map[string]string) error
}

// NewCluster makes a Cluster of the cluster's image.
func NewCluster(client control.Client) Cluster { return imageCluster{client} }

type imageCluster struct{ client control.Client }

func (c imageCluster) Partitions(topic string) int32 {
	t, _ := c.client.Image().TopicByName(topic)
	return t.Partitions
}

func (c imageCluster) Leader(topic string, index int32) (base.NodeID, bool) {
	img := c.client.Image()
	t, ok := img.TopicByName(topic)
	if !ok {
		return base.NoNode, false
	}
	p, ok := img.Partition(t.ID, index)
	return p.Leader, ok && p.State == meta.Serving && p.Leader != base.NoNode
}

func (c imageCluster) Endpoint(node base.NodeID, listener string) (string, int32, bool) {
	n, ok := c.client.Image().Node(node)
	if !ok || n.Fenced {
		return "", 0, false
	}
	i := slices.IndexFunc(n.Endpoints, func(e meta.Endpoint) bool { return e.Name == listener })
	if i < 0 {
		return "", 0, false
	}
	return n.Endpoints[i].Host, n.Endpoints[i].Port, true
}

func (c imageCluster) CreateTopic(ctx context.Context, name string, partitions int32, configs map[string]string) error {
	cmd := meta.CreateTopics{Topics: []meta.NewTopic{{Name: name, Partitions: partitions, Configs: configs}}}
	res, err := control.Do[meta.TopicsCreated](ctx, c.client, &cmd)
	if err != nil {
		return err
	}
	if rejected := res.Topics[0].Err; rejected != nil && rejected.Code != meta.TopicExists {
		return rejected
	}
	return nil
}

// PartitionOf returns which of n partitions belongs to a key, as Kafka's tools compute it: by Java's String.hashCode.
func PartitionOf(key string, n int32) int32 {
	var h int32
	for _, u := range utf16.Encode([]rune(key)) {
		h = 31*h + int32(u)
	}
	if h < 0 {
		h = max(0, -h) // the smallest integer has no absolute value
	}
	return h % n
}
