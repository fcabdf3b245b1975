package handle

import (
	"testing"

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
