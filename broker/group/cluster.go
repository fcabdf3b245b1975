package group

import (
	"context"
	"slices"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
)

// NewCluster makes a Cluster of the cluster's image.
func NewCluster(client control.Client) Cluster { return imageCluster{client} }

type imageCluster struct{ client control.Client }

func (c imageCluster) TopicID(name string) (base.UUID, bool) {
	t, ok := c.client.Image().TopicByName(name)
	return t.ID, ok
}

func (c imageCluster) TopicName(id base.UUID) (string, bool) {
	t, ok := c.client.Image().TopicByID(id)
	return t.Name, ok
}

// Topics returns a view of the image's topics. Their names are listed only if somebody asks.
func (c imageCluster) Topics() Topics { return imageTopics{c.client.Image()} }

type imageTopics struct{ img *meta.Image }

func (t imageTopics) ByName(name string) (base.UUID, int32, bool) {
	topic, ok := t.img.TopicByName(name)
	return topic.ID, topic.Partitions, ok
}

func (t imageTopics) ByID(id base.UUID) (string, bool) {
	topic, ok := t.img.TopicByID(id)
	return topic.Name, ok
}

func (t imageTopics) Names() []string {
	names := make([]string, 0, t.img.TopicCount())
	for topic := range t.img.Topics() {
		names = append(names, topic.Name)
	}
	slices.Sort(names)
	return names
}

// Version is the image's position: it differs more often than the topics do.
func (t imageTopics) Version() int64 { return int64(t.img.Pos()) + 1 }

func (c imageCluster) Partitions(name string) int32 {
	t, _ := c.client.Image().TopicByName(name)
	return t.Partitions
}

func (c imageCluster) Leader(name string, index int32) (base.NodeID, bool) {
	img := c.client.Image()
	t, ok := img.TopicByName(name)
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
