package node

import (
	"strconv"
	"strings"
	"testing"

	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// TestConfigIsInForce: a setting of a topic that was changed is in force for what the same client asks next.
func TestConfigIsInForce(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.createTopic("t", 4)
	w := c.dial()
	batch := oneBatch(strings.Repeat("x", 2000))
	for i := range 100 {
		limit, want := 1000, kerr.MessageTooLarge
		if i%2 == 1 {
			limit, want = 4000, kerr.None
		}
		value := strconv.Itoa(limit)
		var altered msg.IncrementalAlterConfigsResponse
		w.call(1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{
			ResourceType: 2, ResourceName: "t",
			Configs: []msg.IncrementalAlterConfigsRequestAlterableConfig{{Name: "max.message.bytes", Value: &value}},
		}}}, &altered)
		if code := altered.Responses[0].ErrorCode; code != 0 {
			t.Fatal(code)
		}
		for p := range int32(4) {
			var produced msg.ProduceResponse
			w.call(9, produceOne("t", -1, p, batch), &produced)
			if code := kerr.Code(produced.Responses[0].PartitionResponses[0].ErrorCode); code != want {
				t.Fatalf("change %d: a batch of 2000 bytes with max.message.bytes=%d: %v, want %v", i, limit, code, want)
			}
		}
	}
}
