package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// What stories about groups of the consumer protocol have beside: topics are one letter, a partition is the letter and its number.
//
//	topic LETTER PARTITIONS                          a topic comes, grows or, with 0, goes
//	NAME: beat GROUP member= epoch= topics=a,b …     a heartbeat; owned= says what the member has, "full" that it says all,
//	                                                 sees= which topics it may describe, if not all
//	NAME: consumers GROUP                            ConsumerGroupDescribe

func (w *world) topic(arg string) {
	name, n, _ := strings.Cut(arg, " ")
	w.topics = w.topics.with(name, fixedTopic{topicID(strings.ToUpper(name)), int32(number(w.t, n, 0))})
}

func parseBeat(t *testing.T, group string, a args) *beatCommand {
	has := func(k string) bool { _, ok := a[k]; return ok }
	c := &beatCommand{client: client{a.or("client", "c"), "/h"}, group: group, member: a["member"], epoch: int32(number(t, a["epoch"], 0)), rebalanceMS: -1}
	if has("full") || c.epoch == epochJoin {
		c.rebalanceMS = int32(duration(t, a.or("rebalance", "20s")).Milliseconds())
		c.owned = &[]partitionID{}
	}
	for k, to := range map[string]**string{"instance": &c.instance, "regex": &c.regex, "assignor": &c.assignor, "rack": &c.rack} {
		if v, ok := a[k]; ok {
			*to = &v
		}
	}
	if has("sees") {
		seen := split(a["sees"])
		c.describes = func(topic string) bool { return slices.Contains(seen, topic) }
	}
	if has("topics") {
		topics := split(a["topics"])
		c.topics = &topics
	}
	if has("owned") {
		owned := []partitionID{}
		for _, p := range split(a["owned"]) {
			owned = append(owned, partitionID{Topic: topicID(strings.ToUpper(p[:1])), Index: int32(number(t, p[1:], 0))})
		}
		c.owned = &owned
	}
	return c
}

func partitionsText(ps []partitionID) string {
	var all []string
	for _, p := range ps {
		all = append(all, fmt.Sprintf("%c%d", p.Topic[0]+'a'-'A', p.Index))
	}
	return "[" + strings.Join(all, " ") + "]"
}

func beatText(r beatResult) string {
	if r.code != kerr.None {
		return codeText(r.code) + ": " + r.message
	}
	s := fmt.Sprintf("%s epoch %d", r.member, r.epoch)
	if r.assigned != nil {
		s += " " + partitionsText(*r.assigned)
	}
	return s
}

func consumersText(r describeConsumersResult) string {
	if r.code != kerr.None {
		return codeText(r.code) + ": " + r.message
	}
	s := fmt.Sprintf("%s epoch %d target %d %s:", r.status, r.epoch, r.targetEpoch, r.assignor)
	for _, m := range r.members {
		s += fmt.Sprintf(" %s@%d%s→%s", m.id, m.epoch, partitionsText(*m.assigned.partitions()), partitionsText(m.target))
	}
	return s
}

func consumerRecordText(k consumerKey, value []byte) string {
	what := map[int16]string{
		keyConsumerGroup: "group", keyConsumer: "member", keyTarget: "target", keyConsumerTarget: "target of", keyConsumerState: "state of", keyRegex: "expression",
	}[k.typ]
	s := strings.TrimSpace(k.group + ": " + what + " " + k.name)
	if value == nil {
		return s + " gone"
	}
	var err error
	switch k.typ {
	case keyConsumerGroup:
		var epoch int32
		epoch, _, err = decodeConsumerGroup(value)
		s += fmt.Sprintf(" epoch %d", epoch)
	case keyTarget:
		var epoch int32
		epoch, _, err = decodeTarget(value)
		s += fmt.Sprintf(" epoch %d", epoch)
	case keyConsumerTarget:
		var target []partitionID
		target, err = decodeConsumerTarget(value)
		s += " " + partitionsText(target)
	case keyRegex:
		var v resolvedRegex
		v, err = decodeRegex(value)
		s += fmt.Sprintf(" %v", v.topics)
	case keyConsumer:
		var c *consumer
		c, err = decodeConsumer(k.name, value)
		s += fmt.Sprintf(" %v%s", c.topics, c.regex)
		if c.classic != nil {
			s += " classic"
		}
	case keyConsumerState:
		var c *consumer
		c, err = decodeConsumerState(consumer{}, value)
		s += fmt.Sprintf(" epoch %d %s", c.epoch, partitionsText(*c.assigned.partitions()))
		if len(c.revoking) > 0 {
			s += " gives up " + partitionsText(*c.revoking.partitions())
		}
		if c.state == memberUnreleased {
			s += " waits for more"
		}
	}
	if err != nil {
		return err.Error()
	}
	return s
}

// assignmentData is what a leader sends for a member: "@a0+b1" for the assignment of a consumer, other text as it is.
func assignmentData(t *testing.T, s string) []byte {
	list, ok := strings.CutPrefix(s, "@")
	if !ok {
		return []byte(s)
	}
	m := msg.ConsumerProtocolAssignment{}
	for _, p := range strings.Split(list, "+") {
		growSlice(&m.AssignedPartitions)
		last := &m.AssignedPartitions[len(m.AssignedPartitions)-1]
		last.Topic, last.Partitions = p[:1], []int32{int32(number(t, p[1:], 0))}
	}
	return m.Append([]byte{0, 0}, 0)
}

// dataText shows an assignment the way assignmentData takes it.
func dataText(b []byte) string {
	if len(b) < 2 || b[0] != 0 {
		return fmt.Sprintf("%q", b)
	}
	view := fixedTopics{}
	for l := 'a'; l <= 'z'; l++ {
		view = view.with(string(l), fixedTopic{topicID(strings.ToUpper(string(l))), 1})
	}
	ps, _ := decodeAssignment(slices.Clone(b), view)
	return partitionsText(ps)
}
