package parity

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"sluice/base"
	"sluice/test/twin"
	"sluice/wire/batch"
	"sluice/wire/msg"
)

// script is a conversation with one broker. Its methods end it when the broker does not play along.
type script struct {
	name   string
	broker *twin.Target
	names  *twin.Names
	main   *twin.Conn
	conns  []*twin.Conn
	steps  []step
	ids    map[string]base.UUID // of topics
	marks  int                  // changes that published made
}

// step is an answer, flattened.
type step struct {
	name  string
	lines map[string]string
}

// stopped ends a script.
type stopped struct{ why string }

func (s *script) fatalf(format string, args ...any) {
	panic(stopped{fmt.Sprintf("%s: %s after step %d: %s", s.name, s.broker.Name, len(s.steps), fmt.Sprintf(format, args...))})
}

// run runs fn against b.
func run(name string, fn func(*script), b *twin.Target) (s *script, err error) {
	s = &script{name: name, broker: b, names: twin.NewNames(b.Node), ids: map[string]base.UUID{}}
	defer func() {
		for _, c := range s.conns {
			c.Close()
		}
		if r := recover(); r != nil {
			stop, ok := r.(stopped)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("%s", stop.why)
		}
	}()
	s.findEpoch()
	fn(s)
	return s, nil
}

// findEpoch finds out what leader epoch a new partition has.
func (s *script) findEpoch() {
	name := s.topic("epoch")
	s.create("epoch", 1)
	meta := s.tell(7, metadataOf(name)).(*msg.MetadataResponse)
	s.names.FirstEpoch = meta.Topics[0].Partitions[0].LeaderEpoch
}

// topic returns the full name of one of the script's topics, or groups.
func (s *script) topic(name string) string { return s.name + "-" + name }

// open opens a further connection.
func (s *script) open() *twin.Conn {
	c, err := twin.Dial(s.broker.Addr)
	if err != nil {
		s.fatalf("%v", err)
	}
	s.conns = append(s.conns, c)
	return c
}

// on returns the connection that steps use, a new one after the broker closed the old one.
func (s *script) on() *twin.Conn {
	if s.main == nil {
		s.main = s.open()
	}
	return s.main
}

// tell sends a request that is no step, and returns the answer.
func (s *script) tell(version int16, req msg.Message) msg.Message {
	answer, err := s.on().Ask(version, req)
	if err != nil {
		s.fatalf("%s %d: %v", msg.Name(req.APIKey()), version, err)
	}
	return answer
}

// ask takes a step: a request and its answer, nil if there is none.
func (s *script) ask(name string, version int16, req msg.Message) msg.Message {
	p, err := s.on().Send(version, req)
	return s.record(name, version, req.APIKey(), p, err)
}

// start sends a request on a connection of its own, so that others can follow before its answer.
func (s *script) start(version int16, req msg.Message) *twin.Pending {
	p, err := s.open().Send(version, req)
	if err != nil {
		s.fatalf("%s %d: %v", msg.Name(req.APIKey()), version, err)
	}
	return p
}

// await takes a step: the answer to a request that was started.
func (s *script) await(name string, p *twin.Pending) msg.Message {
	return s.record(name, p.Version, p.Key, p, nil)
}

func (s *script) record(name string, version, key int16, p *twin.Pending, err error) msg.Message {
	var answer msg.Message
	if err == nil {
		answer, err = p.Await(twin.AnswerMax)
	}
	st := step{name: fmt.Sprintf("%s %d %s", msg.Name(key), version, name)}
	if err != nil {
		st.lines = map[string]string{"": err.Error()}
		s.main = nil
	} else {
		st.lines = s.names.Render(answer)
	}
	s.steps = append(s.steps, st)
	return answer
}

// show takes a step: an answer that the script has looked at.
func (s *script) show(name string, version int16, answer msg.Message) {
	s.steps = append(s.steps, step{name: fmt.Sprintf("%s %d %s", msg.Name(answer.APIKey()), version, name), lines: s.names.Render(answer)})
}

// note takes a step that says something else.
func (s *script) note(name, value string) {
	s.steps = append(s.steps, step{name: name, lines: map[string]string{"": value}})
}

// settleMax is how long what was changed may take to show.
const settleMax = 5 * time.Second

// settle repeats a request until the answer is as it should be, and takes that as a step; after some time it takes any answer.
func (s *script) settle(name string, version int16, req msg.Message, ready func(msg.Message) bool) msg.Message {
	for deadline := time.Now().Add(settleMax); time.Now().Before(deadline) && !ready(s.tell(version, req)); {
		time.Sleep(20 * time.Millisecond)
	}
	return s.ask(name, version, req)
}

// published waits until everything that was changed before is in force, also where that cannot be seen. A broker of Kafka takes changes after they are
// answered, in steps: what a step brings shows in its cache first, and is in force when the next step shows.
func (s *script) published() {
	group := s.topic("published")
	for range 2 {
		s.marks++
		name, value := "consumer.session.timeout.ms", strconv.Itoa(45_000+s.marks)
		s.tell(1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{
			ResourceType: groupResource, ResourceName: group, Configs: []configOp{set(name, value)},
		}}})
		shown := func() bool {
			all := s.tell(4, &msg.DescribeConfigsRequest{Resources: []msg.DescribeConfigsRequestDescribeConfigsResource{{
				ResourceType: groupResource, ResourceName: group, ConfigurationKeys: []string{name},
			}}}).(*msg.DescribeConfigsResponse).Results[0].Configs
			return len(all) == 1 && all[0].Value != nil && *all[0].Value == value
		}
		for deadline := time.Now().Add(settleMax); !shown(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				s.fatalf("a changed configuration does not show in %v", settleMax)
			}
		}
	}
}

// versions runs fn for every version of an API that is offered.
func (s *script) versions(key int16, fn func(v int16)) {
	row, ok := msg.Lookup(key)
	if !ok {
		s.fatalf("key %d is not offered", key)
	}
	for v := row.Min; v <= row.Max; v++ {
		fn(v)
	}
}

// create creates one of the script's topics, with configs in pairs, and waits until it is served.
func (s *script) create(name string, partitions int32, configs ...string) string {
	full := s.topic(name)
	req := createOf(newTopic(full, partitions, 1, configs...))
	created := s.tell(7, req).(*msg.CreateTopicsResponse).Topics[0]
	if created.ErrorCode != 0 {
		s.fatalf("create %s: error %d, %s", full, created.ErrorCode, orNone(created.ErrorMessage))
	}
	s.ids[full] = created.TopicId
	s.names.Call("topic", created.TopicId.String(), "id of "+full)
	s.awaitTopic(full, partitions)
	return full
}

// awaitTopic waits until all partitions of a topic have a leader that serves them.
func (s *script) awaitTopic(full string, partitions int32) {
	list := listOf(full, -1)
	list.Topics[0].Partitions = nil
	for p := range partitions {
		list.Topics[0].Partitions = append(list.Topics[0].Partitions, listOf(full, -1).Topics[0].Partitions[0])
		list.Topics[0].Partitions[p].PartitionIndex = p
	}
	for deadline := time.Now().Add(settleMax); ; time.Sleep(20 * time.Millisecond) {
		meta := s.tell(9, metadataOf(full)).(*msg.MetadataResponse).Topics[0]
		ready := meta.ErrorCode == 0 && len(meta.Partitions) >= int(partitions) && !slices.ContainsFunc(meta.Partitions, func(p msg.MetadataResponseMetadataResponsePartition) bool {
			return p.ErrorCode != 0
		})
		if ready {
			served := s.tell(4, list).(*msg.ListOffsetsResponse).Topics[0].Partitions
			ready = !slices.ContainsFunc(served, func(p msg.ListOffsetsResponseListOffsetsPartitionResponse) bool { return p.ErrorCode != 0 })
		}
		if ready {
			return
		}
		if time.Now().After(deadline) {
			s.fatalf("%s is not served", full)
		}
	}
}

// t0 is the time of most records: the same for both brokers, and not near the present.
var t0 = time.Now().Add(-time.Hour).Truncate(time.Second).UnixMilli()

// values makes a batch of records with these values and keys "k", one ms apart from t0 on.
func values(vs ...string) []byte { return recordsOf(batch.Options{}, t0, vs...) }

// recordsOf makes a batch.
func recordsOf(opt batch.Options, at int64, vs ...string) []byte {
	b := batch.NewBuilder(opt)
	for i, v := range vs {
		b.Add(batch.Record{Timestamp: at + int64(i), Key: []byte("k"), Value: []byte(v)})
	}
	return b.Bytes()
}

// ptr is for fields that may be null.
func ptr[T any](v T) *T { return &v }

func orNone(s *string) string {
	if s == nil {
		return "no message"
	}
	return *s
}
