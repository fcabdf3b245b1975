package group

import (
	"slices"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/cluster/control"
	"sluice/cluster/meta"
)

// NewCluster makes a Cluster of the cluster's image.
func NewCluster(client control.Client) Cluster { return imageCluster{coord.NewCluster(client), client} }

type imageCluster struct {
	coord.Cluster
	client control.Client
}

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
