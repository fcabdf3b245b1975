package node

import (
	"context"
	"strings"

	"sluice/broker/coord"
	"sluice/broker/lead"
	"sluice/broker/share"
	"sluice/broker/topicconfig"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
)

// Settings of dead letters (KIP-1191), of brokers and of topics.
const (
	deadAutoCreate = "errors.deadletterqueue.auto.create.topics.enable"
	deadPrefix     = "errors.deadletterqueue.topic.name.prefix"
	deadEnable     = "errors.deadletterqueue.group.enable"
)

// deadLetters writes the dead letters of share groups to partitions of this node and of others.
type deadLetters struct{ *shares }

// Open implements share.DeadLetters: a topic must be allowed by its name and by its own setting.
func (d deadLetters) Open(ctx context.Context, name string) (bytesMax int, err error) {
	n := d.node
	if r := meta.CheckTopicName(name); r != nil {
		return 0, kerr.Errorf(kerr.InvalidConfig, "%v", r)
	}
	prefix := d.brokerValue(deadPrefix)
	switch {
	case strings.HasPrefix(name, "__"):
		return 0, kerr.Errorf(kerr.InvalidConfig, "the topic for dead letters must not begin with __: %s", name)
	case !strings.HasPrefix(name, prefix):
		return 0, kerr.Errorf(kerr.InvalidConfig, "the topic for dead letters must begin with %q, as %s says: %s", prefix, deadPrefix, name)
	}
	topic, ok := n.member.Image().TopicByName(name)
	if !ok {
		if !strings.EqualFold(d.brokerValue(deadAutoCreate), "true") {
			return 0, kerr.Errorf(kerr.InvalidConfig, "there is no topic %s for dead letters, and %s is off", name, deadAutoCreate)
		}
		configs := map[string]string{deadEnable: "true", "message.timestamp.type": "CreateTime"}
		if err := coord.NewCluster(n.member).CreateTopic(ctx, name, int32(n.opt.Config.NumPartitions), configs); err != nil {
			return 0, err
		}
		n.log.Info("created a topic for dead letters", "topic", name)
		if topic, ok = n.member.Image().TopicByName(name); !ok {
			return 0, kerr.Errorf(kerr.UnknownTopicOrPartition, "topic %s is gone", name)
		}
	}
	if !strings.EqualFold(topic.Configs[deadEnable], "true") {
		return 0, kerr.Errorf(kerr.InvalidConfig, "topic %s does not take dead letters: %s is off", name, deadEnable)
	}
	c, err := topicconfig.Parse(topic.Configs, lead.BrokerConfigs(n.member.Image(), n.self.ID))
	if err != nil {
		return 0, kerr.Errorf(kerr.InvalidConfig, "%v", err)
	}
	return int(c.MaxMessageBytes), nil
}

// brokerValue is a setting of this broker, as it is now.
func (d deadLetters) brokerValue(name string) string {
	img := d.node.member.Image()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refreshLocked(img)
	if v, ok := d.mu.broker[name]; ok {
		return v
	}
	return topicconfig.LookupBroker(name).Default
}

// Append implements share.DeadLetters: the letters of a partition go to the partition of the same number, counted round.
func (d deadLetters) Append(ctx context.Context, name string, source int32, records []byte) error {
	n := d.node
	img := n.member.Image()
	topic, ok := img.TopicByName(name)
	if !ok {
		return kerr.Errorf(kerr.UnknownTopicOrPartition, "topic %s is gone", name)
	}
	index := source % topic.Partitions
	p, ok := img.Partition(topic.ID, index)
	if !ok || p.State != meta.Serving {
		return kerr.Errorf(kerr.LeaderNotAvailable, "%s-%d has no leader", name, index)
	}
	question := share.EncodeLetters(topic.ID, index, records)
	var answer []byte
	var err error
	if p.Leader == n.self.ID {
		answer, err = d.serveLetters(ctx, question)
	} else {
		answer, err = n.member.Ask(ctx, p.Leader, methodShareLetters, question)
	}
	if err != nil { // it may be durable
		return kerr.Errorf(kerr.RequestTimedOut, "%v", err)
	}
	return share.DecodeVerdict(answer)
}

func (s *shares) serveLetters(ctx context.Context, question []byte) ([]byte, error) {
	if m := s.manager.Load(); m != nil {
		return m.ServeLetters(ctx, question)
	}
	return nil, errNotServing()
}
