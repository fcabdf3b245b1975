package node

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestTelemetry: a client that knows KIP-714 sends what a subscription asks for, and it is shown.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "telemetry=metrics")
	c.start()
	c.createTopic("t", 1)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeClientMetrics, "everything"
	for k, v := range map[string]string{"metrics": "*", "interval.ms": "100", "match": "client_id=told.*"} {
		kv := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		kv.Name, kv.Value = k, &v
		r.Configs = append(r.Configs, kv)
	}
	req.Resources = append(req.Resources, r)
	if resp, err := req.RequestWith(c.ctx(), c.client()); err != nil || resp.Resources[0].ErrorCode != 0 {
		t.Fatal(err, resp)
	}
	cl := c.client(kgo.ClientID("told-1"))
	ctx := c.ctx()
	for ctx.Err() == nil {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if n := pushed(t, c.node.opt.Registry, "told-1"); n > 3 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("nothing was pushed")
}

// pushed counts the series of a client.
func pushed(t *testing.T, reg *prometheus.Registry, id string) (n int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "sluice_client_metrics" && f.GetName() != "sluice_client_metrics_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "client_id" && l.GetValue() == id {
					n++
				}
			}
		}
	}
	return n
}
