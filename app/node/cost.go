package node

import "sluice/base"

// topicOf returns the name of the topic that a stream belongs to, empty if this node does not know it. Only requests that serve streams ask, and there
// are none before the node is a member.
func (n *Node) topicOf(id base.StreamID) string {
	img := n.member.Image()
	s, ok := img.Stream(id)
	if !ok {
		return ""
	}
	t, _ := img.TopicByID(s.Topic)
	return t.Name
}
