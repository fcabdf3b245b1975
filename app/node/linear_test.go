package node

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Small registers, each of which is to behave as if there were one copy of it (G12): settings of topics, committed offsets, and which topics
// there are. Clients use them through all brokers while the controller's role is transferred and its holder crashes; Porcupine then looks
// for an order of all operations that explains every answer and agrees with time.
//
// An operation whose fate is not known may have happened at any time since, or never. A read of a setting goes to any broker's image, which may
// lag behind: it is preceded by a change of another setting through the same broker, whose answer says that the image is that new.

// regOp is an operation on a register; several kinds share the type.
type regOp struct {
	key   string // the register
	kind  string // "write", "read", "create", "delete"
	value string // what is written
}

// regResult is what came of an operation. Creates and deletes that were refused are not in the history.
type regResult struct {
	value   string
	unknown bool // it may have happened, or may yet
}

// register is the sequential specification: the state is the value; "" at the beginning, "there" for a topic that exists.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(regOp).key
			byKey[key] = append(byKey[key], op)
		}
		var all [][]porcupine.Operation
		for _, ops := range byKey {
			all = append(all, ops)
		}
		return all
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		op, res, now := input.(regOp), output.(regResult), state.(string)
		switch op.kind {
		case "read":
			return res.value == now, now
		case "create":
			return res.unknown || now == "", "there"
		case "delete":
			return res.unknown || now == "there", ""
		}
		return true, op.value
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// registers records what clients do to registers.
type registers struct {
	t     *testing.T
	began time.Time
	stop  atomic.Bool
	good  map[string]*atomic.Int64 // operations with a known end, by the kind of the register
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// add takes one operation to the history. A read without an answer says nothing.
func (r *registers) add(client int, call time.Duration, op regOp, res regResult, what string) {
	end := time.Since(r.began)
	if res.unknown {
		if end = 1<<62 - 1; op.kind == "read" {
			return
		}
	} else {
		r.good[what].Add(1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{ClientId: client, Input: op, Call: int64(call), Output: res, Return: int64(end)})
}

// pruned leaves out writes of unknown fate whose value nobody has read: they may as well never have happened.
func (r *registers) pruned() []porcupine.Operation {
	read := map[string]bool{}
	for _, op := range r.ops {
		if op.Input.(regOp).kind == "read" {
			read[op.Output.(regResult).value] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(r.ops), func(op porcupine.Operation) bool {
		in := op.Input.(regOp)
		return in.kind == "write" && op.Output.(regResult).unknown && !read[in.value]
	})
}

// ask sends a request to one broker, once. An error means that its fate is unknown.
func ask[R kmsg.Response](ctx context.Context, cl *kgo.Client, node int32, req kmsg.Request) (res R, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := cl.Broker(int(node)).Request(ctx, req)
	if err != nil {
		return res, false
	}
	return got.(R), true
}

func alter(ctx context.Context, cl *kgo.Client, node int32, topic, name, value string) bool {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	conf := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	conf.Name, conf.Value = name, kmsg.StringPtr(value)
	res.Configs = append(res.Configs, conf)
	req.Resources = append(req.Resources, res)
	got, ok := ask[*kmsg.IncrementalAlterConfigsResponse](ctx, cl, node, req)
	return ok && len(got.Resources) == 1 && got.Resources[0].ErrorCode == 0
}

// setting writes or reads one setting of a topic. Values are numbers of their own.
func (r *registers) setting(ctx context.Context, cl *kgo.Client, node int32, client, n int) {
	topic := fmt.Sprint("set-", n%2)
	op, call := regOp{key: topic, kind: "read"}, time.Since(r.began)
	if n%3 > 0 {
		op.kind, op.value = "write", fmt.Sprint(1_000_000+client*10_000+n)
		done := alter(ctx, cl, node, topic, "max.message.bytes", op.value)
		r.add(client, call, op, regResult{unknown: !done}, "settings")
		return
	}
	if !alter(ctx, cl, node, topic, "segment.bytes", fmt.Sprint(2_000_000+client*10_000+n)) {
		return
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName, res.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{"max.message.bytes"}
	req.Resources = append(req.Resources, res)
	got, ok := ask[*kmsg.DescribeConfigsResponse](ctx, cl, node, req)
	if !ok || len(got.Resources) != 1 || got.Resources[0].ErrorCode != 0 || len(got.Resources[0].Configs) != 1 {
		return
	}
	value := ""
	if c := got.Resources[0].Configs[0]; c.Source == kmsg.ConfigSourceDynamicTopicConfig {
		value = *c.Value
	}
	r.add(client, call, op, regResult{value: value}, "settings")
}

// offset commits or fetches an offset of a group, at the broker that was its coordinator.
func (r *registers) offset(ctx context.Context, cl *kgo.Client, client, n int) {
	group := fmt.Sprint("group-", n%2)
	op, call := regOp{key: group, kind: "read"}, time.Since(r.began)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if n%3 > 0 {
		at := int64(1_000_000 + client*10_000 + n)
		op.kind, op.value = "write", fmt.Sprint(at)
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = group, -1
		topic, part := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
		topic.Topic, part.Offset = "set-0", at
		topic.Partitions = append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
		res, err := req.RequestWith(ctx, cl)
		done := err == nil && len(res.Topics) == 1 && res.Topics[0].Partitions[0].ErrorCode == 0
		r.add(client, call, op, regResult{unknown: !done}, "offsets")
		return
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic, topic.Partitions = "set-0", []int32{0}
	req.Topics = append(req.Topics, topic)
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.Partitions = "set-0", []int32{0}
	g.Topics = append(g.Topics, gt)
	req.Groups = append(req.Groups, g)
	res, err := req.RequestWith(ctx, cl)
	if err != nil || len(res.Groups) != 1 || res.Groups[0].ErrorCode != 0 || len(res.Groups[0].Topics) != 1 || res.Groups[0].Topics[0].Partitions[0].ErrorCode != 0 {
		return
	}
	value := ""
	if at := res.Groups[0].Topics[0].Partitions[0].Offset; at >= 0 {
		value = fmt.Sprint(at)
	}
	r.add(client, call, op, regResult{value: value}, "offsets")
}

// topic makes or deletes a topic; of all who try at once one succeeds.
func (r *registers) topic(ctx context.Context, cl *kgo.Client, node int32, client, n int) {
	name := fmt.Sprint("name-", n%2)
	op, call := regOp{key: name, kind: "create"}, time.Since(r.began)
	var code int16
	var ok bool
	if n%4 < 2 {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis = 4000
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
		req.Topics = append(req.Topics, topic)
		var res *kmsg.CreateTopicsResponse
		if res, ok = ask[*kmsg.CreateTopicsResponse](ctx, cl, node, req); ok {
			code = res.Topics[0].ErrorCode
		}
	} else {
		op.kind = "delete"
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis, req.TopicNames = 4000, []string{name}
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
		var res *kmsg.DeleteTopicsResponse
		if res, ok = ask[*kmsg.DeleteTopicsResponse](ctx, cl, node, req); ok {
			code = res.Topics[0].ErrorCode
		}
	}
	if ok && (code == kerr.TopicAlreadyExists.Code || code == kerr.UnknownTopicOrPartition.Code) {
		r.good["topics"].Add(1) // a controller that has been replaced and does not know it refuses by an old image, for a moment: it says nothing
		return
	}
	r.add(client, call, op, regResult{unknown: !ok || code != 0}, "topics")
}

// more waits until so many more operations of every kind have come to a known end.
func (r *registers) more(n int64) {
	r.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for what, good := range r.good {
		for want := good.Load() + n; good.Load() < want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				r.t.Fatalf("%s: %d operations, no more", what, good.Load())
			}
		}
	}
}

// count returns how many operations of a kind came to a known end.
func count(ops []porcupine.Operation, kind string) (n int) {
	for _, op := range ops {
		if op.Input.(regOp).kind == kind && !op.Output.(regResult).unknown {
			n++
		}
	}
	return n
}

// shortest is the shortest beginning of a history that cannot be explained, its last operations.
func shortest(ops []porcupine.Operation) (text string) {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	n := sort.Search(len(ops), func(n int) bool { return !porcupine.CheckOperations(register, began(ops, n+1)) })
	for _, op := range began(ops, min(n+1, len(ops))) {
		if op.Return > ops[max(0, n-12)].Call {
			text += fmt.Sprintf("%12v %12v client %d %s\n", time.Duration(op.Call), time.Duration(op.Return), op.ClientId, register.DescribeOperation(op.Input, op.Output))
		}
	}
	return text
}

// began is what had begun when operation n-1 ended: those that end later are of unknown fate.
func began(ops []porcupine.Operation, n int) (some []porcupine.Operation) {
	for i, op := range ops {
		if op.Call > ops[n-1].Return {
			continue
		}
		if i >= n {
			if op.Input.(regOp).kind == "read" {
				continue
			}
			op.Output, op.Return = regResult{unknown: true}, 1<<62-1
		}
		some = append(some, op)
	}
	return some
}

// TestRegistersAreLinearizable: settings, offsets and names of topics, while the controller's role is transferred, and while its holder
// crashes, with the coordinators it has.
func TestRegistersAreLinearizable(t *testing.T) {
	t.Parallel()
	c := newCluster(t, clusterSettings(t, "s3")...)
	nodes := []*Node{c.start(), c.another(), c.another()}
	c.createTopic("set-0", 1)
	c.createTopic("set-1", 1)
	r := &registers{t: t, began: time.Now(), good: map[string]*atomic.Int64{"settings": {}, "offsets": {}, "topics": {}}}
	ctx, cancel := context.WithCancel(context.Background()) // what is waited for has bounds of its own
	defer cancel()
	var workers sync.WaitGroup
	for client := range 6 {
		cl := c.at(nodes[0], kgo.SeedBrokers(nodes[1].Info().Kafka, nodes[2].Info().Kafka), kgo.RequestRetries(0))
		node := int32(nodes[client%3].self.ID)
		random := rand.New(rand.NewPCG(6, uint64(client)))
		workers.Go(func() {
			for n := 0; !r.stop.Load(); n++ {
				switch at := 10*n + random.IntN(10); client / 2 {
				case 0:
					r.setting(ctx, cl, node, client, n)
				case 1:
					r.offset(ctx, cl, client, n)
				case 2:
					r.topic(ctx, cl, node, client, at)
				}
				time.Sleep(time.Duration(10+random.IntN(10)) * time.Millisecond) // histories of some hundred operations are enough
			}
		})
	}
	r.more(20)
	if err := nodes[2].member.Transfer(c.ctx(), nodes[1].self.ID); err != nil {
		t.Fatal(err)
	}
	r.more(20)
	if err := nodes[2].member.Transfer(c.ctx(), nodes[0].self.ID); err != nil {
		t.Fatal(err)
	}
	r.more(20)
	c.node = nil
	crash(nodes[0])
	r.more(40)
	r.stop.Store(true)
	cancel()
	workers.Wait()
	unknown := 0
	for _, op := range r.ops {
		if op.Output.(regResult).unknown {
			unknown++
		}
	}
	history := r.pruned()
	for _, kind := range []string{"write", "read", "create", "delete"} {
		if known := count(r.ops, kind); known < 5 {
			t.Errorf("%d %ss came to a known end: that tells nothing", known, kind)
		}
	}
	t.Logf("%d operations, %d of unknown fate; %d are checked", len(r.ops), unknown, len(history))
	for _, ops := range register.Partition(history) {
		if verdict := porcupine.CheckOperationsTimeout(register, ops, 60*time.Second); verdict != porcupine.Ok {
			t.Errorf("%s: %s\n%s", ops[0].Input.(regOp).key, verdict, shortest(ops))
		}
	}
}

// TestRegistersModel: the check finds what it is there to find.
func TestRegistersModel(t *testing.T) {
	op := func(call, end int64, kind, value string, res regResult) porcupine.Operation {
		return porcupine.Operation{Input: regOp{"k", kind, value}, Call: call, Output: res, Return: end}
	}
	const never = 1<<62 - 1
	for name, c := range map[string]struct {
		ops  []porcupine.Operation
		want bool
	}{
		"a read of what was overwritten": {[]porcupine.Operation{op(1, 2, "write", "a", regResult{}), op(3, 4, "write", "b", regResult{}), op(5, 6, "read", "", regResult{value: "a"})}, false},
		"a read of what goes on":         {[]porcupine.Operation{op(1, 2, "write", "a", regResult{}), op(3, 9, "write", "b", regResult{}), op(5, 6, "read", "", regResult{value: "a"})}, true},
		"it goes back": {[]porcupine.Operation{op(1, 2, "write", "a", regResult{}), op(3, 9, "write", "b", regResult{}),
			op(4, 5, "read", "", regResult{value: "b"}), op(6, 7, "read", "", regResult{value: "a"})}, false},
		"a late write": {[]porcupine.Operation{op(1, never, "write", "a", regResult{unknown: true}), op(3, 4, "write", "b", regResult{}),
			op(5, 6, "read", "", regResult{value: "b"}), op(7, 8, "read", "", regResult{value: "a"})}, true},
		"two create it":           {[]porcupine.Operation{op(1, 5, "create", "", regResult{}), op(2, 6, "create", "", regResult{})}, false},
		"two create, one deletes": {[]porcupine.Operation{op(1, 5, "create", "", regResult{}), op(2, 6, "create", "", regResult{}), op(3, 4, "delete", "", regResult{})}, true},
		"nobody created it":       {[]porcupine.Operation{op(1, 5, "delete", "", regResult{})}, false},
	} {
		if got := porcupine.CheckOperations(register, c.ops); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
