package handle

import (
	"slices"
	"testing"

	"sluice/base"
	"sluice/base/config"
	"sluice/edge/kafka"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// TestDeletionOff: with delete.topic.enable=false nothing is deleted, and clients are told so in a code that they know.
func TestDeletionOff(t *testing.T) {
	h := New(Options{Config: &config.Config{DeleteTopics: false}})
	name := "topic"
	for _, tc := range []struct {
		version int16
		req     msg.DeleteTopicsRequest
		want    kerr.Code
	}{
		{2, msg.DeleteTopicsRequest{TopicNames: []string{name}}, kerr.InvalidRequest},
		{3, msg.DeleteTopicsRequest{TopicNames: []string{name}}, kerr.TopicDeletionDisabled},
		{6, msg.DeleteTopicsRequest{Topics: []msg.DeleteTopicsRequestDeleteTopicState{{Name: &name}}}, kerr.TopicDeletionDisabled},
	} {
		resp := h.deleteTopics(&call{Request: &kafka.Request{Version: tc.version}}, &tc.req)
		if len(resp.Responses) != 1 || kerr.Code(resp.Responses[0].ErrorCode) != tc.want || *resp.Responses[0].Name != name {
			t.Errorf("version %d: %+v, want %v of %s", tc.version, resp.Responses, tc.want, name)
		}
	}
}

// TestATopicNamedBothWays: who asks to delete a topic by its name and by its id may not mean the same, so it stays, and is answered once. An id that stands there
// twice is refused for itself too.
func TestATopicNamedBothWays(t *testing.T) {
	b := newBroker(t, 1)
	id, name, other := b.topic("t", 1), "t", "u"
	b.topic(other, 1)
	type topic = msg.DeleteTopicsRequestDeleteTopicState
	for _, tc := range []struct {
		topics []topic
		want   []string
	}{
		{[]topic{{TopicId: id}, {Name: &name}}, []string{"t by id INVALID_REQUEST"}},
		{[]topic{{Name: &name}, {TopicId: id}}, []string{"t by id INVALID_REQUEST"}},
		{[]topic{{TopicId: id}, {Name: &name}, {TopicId: id}}, []string{" by id INVALID_REQUEST", "t by id INVALID_REQUEST"}},
		{[]topic{{Name: &name}, {Name: &name}, {TopicId: id}}, []string{"t INVALID_REQUEST", "t by id NONE"}},
		{[]topic{{Name: &other}}, []string{"u by id NONE"}},
	} {
		var resp msg.DeleteTopicsResponse
		b.ask(6, &msg.DeleteTopicsRequest{Topics: tc.topics, TimeoutMs: 1000}, &resp)
		var got []string
		for _, r := range resp.Responses {
			line := ""
			if r.Name != nil {
				line = *r.Name
			}
			if r.TopicId != (base.UUID{}) {
				line += " by id"
			}
			got = append(got, line+" "+kerr.Code(r.ErrorCode).String())
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%+v: %q, want %q", tc.topics, got, tc.want)
		}
	}
}
