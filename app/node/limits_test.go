package node

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/edge/quota"
	"sluice/wire/msg"
)

// setQuota sets a quota, and waits until the broker knows.
func (c *cluster) setQuota(kind, name, key string, value float64) {
	c.t.Helper()
	entity := kadm.ClientQuotaEntity{{Type: kind, Name: &name}}
	got, err := kadm.NewClient(c.client()).AlterClientQuotas(c.ctx(), []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: key, Value: value}}}})
	if err != nil || got[0].Err != nil {
		c.t.Fatal(err, got)
	}
	if kind == quota.IP {
		return
	}
	for c.node.limits.quotas.Client("ANONYMOUS", name) == nil {
		if c.ctx().Err() != nil {
			c.t.Fatal("the quota does not come to the broker")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestQuotas: who produces, fetches and creates more than he may is told to wait; nobody else is. The clock of the quotas stands still where it matters how much
// was done in how short a time: a machine that is busy is no reason to be told nothing.
func TestQuotas(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var stopped atomic.Pointer[time.Time]
	stop := func(at time.Time) { stopped.Store(&at) }
	c.now = func() time.Time {
		if at := stopped.Load(); at != nil {
			return *at
		}
		return time.Now()
	}
	c.start()
	c.createTopic("q", 1)
	c.setQuota(quota.ClientID, "slow", quota.ProducerRate, 10_000)
	c.setQuota(quota.ClientID, "slow reader", quota.ConsumerRate, 10_000)
	c.setQuota(quota.ClientID, "slow admin", quota.MutationRate, 1)
	produce := func(id string, n int) (waits time.Duration) {
		cl := c.client(kgo.ClientID(id), kgo.WithHooks(throttles{&waits}), kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))
		for range n {
			if err := cl.ProduceSync(c.ctx(), &kgo.Record{Topic: "q", Value: make([]byte, 60_000)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		return waits
	}
	stop(time.Now())
	if w := produce("fast", 3); w != 0 {
		t.Errorf("who has no quota was told to wait %v", w)
	}
	// 120 KB in 10 s, and 10 KB/s are allowed: the second one waits for 2 s
	if w := produce("slow", 2); w < time.Second || w > 3*time.Second {
		t.Errorf("told to wait %v", w)
	}
	stopped.Store(nil)
	var waits time.Duration
	cl := c.client(kgo.ClientID("slow reader"), kgo.WithHooks(throttles{&waits}), kgo.ConsumeTopics("q"), kgo.FetchMaxWait(100*time.Millisecond))
	for n := 0; n < 5; n += cl.PollFetches(c.ctx()).NumRecords() {
		if c.ctx().Err() != nil {
			t.Fatal(c.ctx().Err())
		}
	}
	if waits < time.Second {
		t.Errorf("300 KB were read with 10 KB/s: told to wait %v", waits)
	}
	stop(time.Now())
	c.mutate(func(d time.Duration) { stop(c.now().Add(d)) })
}

// mutate has a client create 12 partitions where 11 are allowed at once, and then one more.
func (c *cluster) mutate(advance func(time.Duration)) {
	w := c.dial()
	create := func(name string, n int32) *msg.CreateTopicsResponse {
		req := &msg.CreateTopicsRequest{TimeoutMs: 10_000, Topics: []msg.CreateTopicsRequestCreatableTopic{{Name: name, NumPartitions: n, ReplicationFactor: 1}}}
		w.client = "slow admin"
		w.send(msg.KeyCreateTopics, 7, req)
		resp := new(msg.CreateTopicsResponse)
		w.receive(msg.KeyCreateTopics, 7, resp)
		return resp
	}
	if r := create("m1", 12); r.Topics[0].ErrorCode != 0 || r.ThrottleTimeMs != 0 {
		c.t.Fatalf("%+v", r)
	}
	began := time.Now()
	r := create("m2", 1)
	if r.Topics[0].ErrorCode != kerr.ThrottlingQuotaExceeded.Code || r.ThrottleTimeMs <= 0 || r.ThrottleTimeMs > 1000 {
		c.t.Fatalf("%+v", r)
	}
	advance(time.Duration(r.ThrottleTimeMs) * time.Millisecond)
	if r2 := create("m2", 1); r2.Topics[0].ErrorCode != 0 || time.Since(began) < time.Duration(r.ThrottleTimeMs)*time.Millisecond {
		c.t.Fatalf("%+v after %v, was to wait %d ms", r2, time.Since(began), r.ThrottleTimeMs)
	}
}

// throttles adds up what a client is told to wait.
type throttles struct{ sum *time.Duration }

func (h throttles) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, _ bool) { *h.sum += d }

func TestGateFollowsSettings(t *testing.T) {
	c := newCluster(t)
	c.start()
	set := func(kv ...string) {
		t.Helper()
		var alter []kadm.AlterConfig
		for i := 0; i < len(kv); i += 2 {
			alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: kv[i], Value: &kv[i+1]})
		}
		if rs, err := kadm.NewClient(c.client()).AlterBrokerConfigs(c.ctx(), alter); err != nil || rs[0].Err != nil {
			t.Fatal(err, rs)
		}
	}
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")
	if all, of := c.node.limits.MaxConnections(a); all != 0 || of != 0 {
		t.Fatal(all, of)
	}
	set("max.connections", "500", "max.connections.per.ip", "100", "max.connections.per.ip.overrides", "10.0.0.1:7,[::1]:8", "max.connection.creation.rate", "1000")
	ctx := c.ctx()
	for {
		all, ofA := c.node.limits.MaxConnections(a)
		_, ofB := c.node.limits.MaxConnections(b)
		_, others := c.node.limits.MaxConnections(netip.MustParseAddr("10.0.0.9"))
		if all == 500 && ofA == 7 && ofB == 8 && others == 100 && c.node.limits.gate.Load().perSecond == 1000 {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(all, ofA, ofB, others)
		}
		time.Sleep(time.Millisecond)
	}
	c.setQuota(quota.IP, "10.9.9.9", quota.ConnectionRate, 1)
	refused := 0
	for refused == 0 && ctx.Err() == nil {
		if _, refuse := c.node.limits.Connect(netip.MustParseAddr("10.9.9.9")); refuse > 0 {
			refused++
		}
		time.Sleep(time.Millisecond)
	}
	if refused == 0 {
		t.Fatal("the rate of connections of an address is not limited")
	}
}
