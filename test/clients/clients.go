package clients

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/history"
)

// Set is what the clients of a test have in common. Its fields do not change while clients run.
type Set struct {
	Addrs      []string // brokers to start with, HOST:PORT
	Topic      string
	Partitions int32
	Rec        *history.Recorder
	Complain   func(format string, args ...any)                                  // about what must not happen; keeps going
	Burst      int                                                               // the most records that a producer sends at once; 0: 40
	Pause      time.Duration                                                     // the longest pause between two bursts; 0: 12 ms
	Dial       func(ctx context.Context, network, addr string) (net.Conn, error) // nil: TCP
	Acked      func(took time.Duration)                                          // called for every acknowledged record, if not nil; must be quick
	Visited    func()                                                            // called for every read at a random place, if not nil
	Read       func(records int)                                                 // called for what readers get, if not nil; must be quick
	Committed  bool                                                              // readers want what is committed only
	Marks      bool                                                              // readers of everything, and who watches, record the watermarks that they are told
	Padding    int                                                               // values are padded with up to so many bytes; 0: 1500
	Patient    time.Duration                                                     // brokers are asked to wait at least so long for records; answers come sooner if there are any
	Slow       int                                                               // all but producers take so many times as long between what they do; 0: 1

	processes atomic.Int32
}

// slowly is a pause between two things that a client does.
func (c *Set) slowly(d time.Duration) time.Duration { return d * time.Duration(max(1, c.Slow)) }

// verySlow is from when on a world takes days, in which each heartbeat and each question counts.
const verySlow = 1000

// waitMax bounds how long brokers are asked to wait for records: answers have to come before clients give up.
const waitMax = 5 * time.Second

// wait is how long brokers are asked to wait for records.
func (c *Set) wait(d time.Duration) time.Duration {
	if c.Slow > verySlow {
		return min(max(c.slowly(d), c.Patient), 6*waitMax)
	}
	return min(max(c.slowly(d), c.Patient), waitMax)
}

// membership is how long a member may be silent, and how often it is heard.
func (c *Set) membership(session, heartbeat time.Duration) []kgo.Opt {
	if c.Slow > 1 {
		session, heartbeat = 45*time.Second, 5*time.Second
	}
	if c.Slow > verySlow {
		heartbeat = 15 * time.Second
	}
	return []kgo.Opt{kgo.SessionTimeout(session), kgo.HeartbeatInterval(heartbeat), kgo.RebalanceTimeout(session)}
}

func (c *Set) process() history.Process { return history.Process(c.processes.Add(1)) }

func (c *Set) tp(partition int32) history.TopicPartition {
	return history.TopicPartition{Topic: c.Topic, Index: partition}
}

// Reach is how clients reach the brokers.
func (c *Set) Reach() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(c.Addrs...), kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return c.dial(ctx, network, addr)
	})}
}

func (c *Set) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// Options are what all clients have in common: they find a broker that is back quickly, but in a world of days, where one may be gone for hours.
func (c *Set) Options(more ...kgo.Opt) []kgo.Opt {
	retry, metadata := 30*time.Millisecond, 50*time.Millisecond
	if c.Slow > verySlow {
		retry, metadata = 2*time.Second, 5*time.Second
	}
	return append(append(c.Reach(),
		kgo.RetryBackoffFn(func(int) time.Duration { return retry }),
		kgo.MetadataMinAge(metadata),
		kgo.RetryTimeout(time.Hour),
		kgo.AlwaysRetryEOF(), // a broker that is killed is not one that wants SASL
	), more...)
}

// Producer sends values without end and without giving one up.
type Producer struct {
	c       *Set
	client  *kgo.Client
	process history.Process
	stop    chan struct{}
	done    chan struct{}
}

// unfinishedMax bounds the sends of one producer that are not acknowledged.
const unfinishedMax = 2000

// codecs are what producers compress with; every second one does not.
var codecs = []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}

// Produce starts a producer, whose choices the seed fixes. The caller ends it with Halt or Abandon.
func (c *Set) Produce(seed uint64) (*Producer, error) {
	p, err := c.idle(seed)
	if err == nil {
		go p.run(rand.New(rand.NewPCG(seed, 2)))
	}
	return p, err
}

// idle makes a producer that sends nothing by itself.
func (c *Set) idle(seed uint64, more ...kgo.Opt) (*Producer, error) {
	codec := kgo.NoCompression()
	if seed%2 == 0 {
		codec = codecs[seed/2%uint64(len(codecs))]
	}
	client, err := kgo.NewClient(c.Options(append([]kgo.Opt{
		kgo.ProducerBatchCompression(codec),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(16 << 10),
		kgo.ProducerLinger(0),
		kgo.StopProducerOnDataLossDetected(),
		kgo.RecordRetries(math.MaxInt),
		kgo.UnknownTopicRetries(-1),
		kgo.ProduceRequestTimeout(10 * time.Second),
	}, more...)...)...)
	if err != nil {
		return nil, err
	}
	return &Producer{c: c, client: client, process: c.process(), stop: make(chan struct{}), done: make(chan struct{})}, nil
}

func (p *Producer) run(rnd *rand.Rand) {
	defer close(p.done)
	room := make(chan struct{}, unfinishedMax)
	burst, pause := cmp.Or(p.c.Burst, 40), cmp.Or(p.c.Pause, 12*time.Millisecond)
	for {
		for range 1 + rnd.IntN(burst) {
			select {
			case room <- struct{}{}:
			case <-p.stop:
				return
			}
			p.send(int32(rnd.IntN(int(p.c.Partitions))), rnd.IntN(cmp.Or(p.c.Padding, 1500)), func() { <-room })
		}
		select {
		case <-time.After(time.Duration(rnd.Int64N(int64(pause)))):
		case <-p.stop:
			return
		}
	}
}

func (p *Producer) send(partition int32, padding int, done func()) history.Value {
	v := p.c.Rec.Invoke(p.process, p.c.tp(partition))
	r := &kgo.Record{Topic: p.c.Topic, Partition: partition, Value: encode(v, padding)}
	sent := time.Now()
	p.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		defer done()
		if err == nil {
			if p.c.Acked != nil {
				p.c.Acked(time.Since(sent))
			}
			p.c.Rec.Acknowledged(v, r.Offset)
			return
		}
		p.c.Rec.Unclear(v)
		if !errors.Is(err, kgo.ErrClientClosed) && !errors.Is(err, context.Canceled) { // a client that is closed while it connects says only the latter
			p.c.Complain("producer %d: value %d: %v", p.process, v, err)
		}
	})
	return v
}

// SendUncounted sends a value whose acknowledgement is not recorded: the caller says how it ended.
func (p *Producer) SendUncounted(acked func()) history.Value {
	v := p.c.Rec.Invoke(p.process, p.c.tp(0))
	p.client.Produce(context.Background(), &kgo.Record{Topic: p.c.Topic, Partition: 0, Value: encode(v, 9000)}, func(_ *kgo.Record, err error) {
		if err != nil {
			p.c.Complain("producer %d: value %d: %v", p.process, v, err)
		}
		acked()
	})
	return v
}

// StopSending has it send nothing more by itself. What is on its way stays so.
func (p *Producer) StopSending() {
	close(p.stop)
	<-p.done
}

// Flush waits until everything that was sent is acknowledged.
func (p *Producer) Flush(ctx context.Context) error { return p.client.Flush(ctx) }

// Close ends a producer that has stopped sending.
func (p *Producer) Close() { p.client.Close() }

// Process is who it is in the history.
func (p *Producer) Process() history.Process { return p.process }

// Halt stops sending, waits until everything that was sent is acknowledged, and closes; an error if that takes longer than within.
func (p *Producer) Halt(within time.Duration) error {
	p.StopSending()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := p.client.Flush(ctx)
	if err != nil {
		err = fmt.Errorf("producer %d still has %d records that are not acknowledged after %v: %w", p.process, p.client.BufferedProduceRecords(), within, err)
	}
	p.client.Close()
	return err
}

// Abandon stops at once; what is in flight may have happened or not.
func (p *Producer) Abandon() {
	p.StopSending()
	p.client.Close()
}

func encode(v history.Value, padding int) []byte {
	return append(strconv.AppendInt(nil, int64(v), 10), strings.Repeat(".", padding+1)...)
}

func decode(b []byte) (history.Value, error) {
	digits, _, _ := strings.Cut(string(b), ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	return history.Value(n), err
}

// Reader is a client that reads, or commits offsets, until Halt.
type Reader struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (c *Set) fromStart() kgo.Opt {
	all := map[int32]kgo.Offset{}
	for i := range c.Partitions {
		all[i] = kgo.NewOffset().At(0)
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: all})
}

// isolation is what a reader wants.
func isolation(committed bool) kgo.Opt {
	if committed {
		return kgo.FetchIsolationLevel(kgo.ReadCommitted())
	}
	return kgo.FetchIsolationLevel(kgo.ReadUncommitted())
}

// marks records what the brokers said of the ends of partitions.
func (c *Set) marks(process history.Process, committed bool, fetches kgo.Fetches) {
	if !c.Marks {
		return
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Err != nil {
			return
		}
		m := history.Marks{Low: p.LogStartOffset, Stable: p.LastStableOffset, High: p.HighWatermark, Last: -1, Committed: committed}
		if n := len(p.Records); n > 0 {
			m.Last = p.Records[n-1].Offset
		}
		c.Rec.Saw(process, c.tp(p.Partition), -1, m)
	})
}

// Tail reads all partitions from the start, for ever.
func (c *Set) Tail() (*Reader, error) { return c.tail(c.Committed, c.Rec.Polled) }

// TailUncommitted is Tail of a reader that wants what is not committed, too, whatever the others want.
func (c *Set) TailUncommitted() (*Reader, error) {
	return c.tail(false, c.Rec.PolledUncommitted)
}

func (c *Set) tail(committed bool, polled func(history.Process, []history.Record)) (*Reader, error) {
	client, err := kgo.NewClient(c.Options(c.fromStart(), isolation(committed), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(c.wait(200*time.Millisecond)))...)
	if err != nil {
		return nil, err
	}
	process := c.process()
	got := c.reading(process)
	return Go(func(ctx context.Context) {
		defer client.Close()
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			if recs := got.take(fetches); len(recs) > 0 {
				polled(process, recs)
			}
			c.marks(process, committed, fetches)
		}
	}), nil
}

// Visit reads a little at random places, again and again: what is there has to be what was there. between is the longest pause.
func (c *Set) Visit(seed uint64, between time.Duration) *Reader {
	rnd, process := rand.New(rand.NewPCG(seed, 4)), c.process()
	return Go(func(ctx context.Context) {
		for ctx.Err() == nil {
			once, cancel := context.WithTimeout(ctx, 10*time.Second)
			c.visit(once, rnd, process)
			cancel()
			select {
			case <-time.After(time.Duration(rnd.Int64N(int64(between)))):
			case <-ctx.Done():
			}
		}
	})
}

// visit reads once from a random offset of a partition.
func (c *Set) visit(ctx context.Context, rnd *rand.Rand, process history.Process) {
	client, err := kgo.NewClient(c.Options(isolation(c.Committed), kgo.FetchMaxWait(200*time.Millisecond), kgo.FetchMaxBytes(64<<10), kgo.ConsumeResetOffset(kgo.NoResetOffset()))...)
	if err != nil {
		c.Complain("a client: %v", err)
		return
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, c.Topic)
	p := rnd.Int32N(c.Partitions)
	end, ok := listed.Lookup(c.Topic, p)
	if err != nil || !ok || end.Err != nil || end.Offset <= 0 {
		return
	}
	c.Rec.Assigned(process)
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: {p: kgo.NewOffset().At(rnd.Int64N(end.Offset))}})
	if recs := c.reading(process).take(client.PollFetches(ctx)); len(recs) > 0 {
		c.Rec.Polled(process, recs)
		if c.Visited != nil {
			c.Visited()
		}
	}
}

// Member reads as a member of a group that commits now and then.
func (c *Set) Member(group string) (*Reader, error) {
	process := c.process()
	jump := func(context.Context, *kgo.Client, map[string][]int32) { c.Rec.Assigned(process) }
	assigned := func(_ context.Context, client *kgo.Client, now map[string][]int32) {
		_, generation := client.GroupMetadata()
		var got []history.TopicPartition
		for _, partition := range now[c.Topic] {
			got = append(got, c.tp(partition))
		}
		c.Rec.Owns(process, group, int64(generation), got)
	}
	client, err := kgo.NewClient(c.Options(append(c.membership(10*time.Second, time.Second),
		kgo.ConsumeTopics(c.Topic), kgo.ConsumerGroup(group), isolation(c.Committed), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(c.wait(200*time.Millisecond)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitInterval(min(c.slowly(200*time.Millisecond), waitMax)),
		kgo.OnPartitionsAssigned(assigned), kgo.OnPartitionsRevoked(jump), kgo.OnPartitionsLost(jump),
	)...)...)
	if err != nil {
		return nil, err
	}
	got := c.reading(process)
	return Go(func(ctx context.Context) {
		defer client.CloseAllowingRebalance()
		for ctx.Err() == nil {
			if recs := got.take(client.PollFetches(ctx)); len(recs) > 0 {
				c.Rec.Polled(process, recs)
			}
			client.AllowRebalance()
		}
	}), nil
}

// Commit commits a number that grows, and reads it back: what is read is never below what was acknowledged, nor above what was tried.
func (c *Set) Commit(group string) (*Reader, error) {
	client, err := kgo.NewClient(c.Options()...)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var acked, tried int64
	process := c.process()
	return Go(func(ctx context.Context) {
		defer client.Close()
		adm := kadm.NewClient(client)
		for n := int64(1); ctx.Err() == nil; n++ {
			mu.Lock()
			tried = n
			mu.Unlock()
			var o kadm.Offsets
			o.Add(kadm.Offset{Topic: c.Topic, Partition: 0, At: n, LeaderEpoch: -1})
			op, outcome := c.Rec.InvokeCommit(process, group, c.tp(0), n), history.Info
			if res, err := adm.CommitOffsets(ctx, group, o); err == nil && res.Error() == nil {
				mu.Lock()
				acked = n
				mu.Unlock()
				outcome = history.OK
			}
			c.Rec.EndCommit(op, outcome)
			c.readBack(ctx, adm, process, group, &mu, &acked, &tried)
			select {
			case <-time.After(max(c.slowly(10*time.Millisecond), c.Patient/20)):
			case <-ctx.Done():
			}
		}
	}), nil
}

func (c *Set) readBack(ctx context.Context, adm *kadm.Client, process history.Process, group string, mu *sync.Mutex, acked, tried *int64) {
	mu.Lock()
	low := *acked
	mu.Unlock()
	op := c.Rec.InvokeFetch(process, group, c.tp(0))
	res, err := adm.FetchOffsets(ctx, group)
	if err != nil || res.Error() != nil {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	got := int64(-1)
	if o, ok := res.Lookup(c.Topic, 0); ok {
		got = o.At
	}
	c.Rec.EndFetch(op, got)
	if low > 0 && got < low || got > *tried {
		c.Complain("group %s: offset %d was acknowledged and %d was tried, %d is read", group, low, *tried, got)
	}
}

// Go runs something else beside the clients; run returns soon after ctx ends.
func Go(run func(ctx context.Context)) *Reader {
	ctx, cancel := context.WithCancel(context.Background())
	t := &Reader{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		run(ctx)
	}()
	return t
}

// Halt ends it and waits for that.
func (r *Reader) Halt() {
	r.cancel()
	<-r.done
}

// CreateTopic creates the topic.
func (c *Set) CreateTopic(ctx context.Context) error {
	client, err := kgo.NewClient(c.Options()...)
	if err != nil {
		return err
	}
	defer client.Close()
	res, err := kadm.NewClient(client).CreateTopic(ctx, c.Partitions, 1, nil, c.Topic)
	if err == nil {
		err = res.Err
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", c.Topic, err)
	}
	return nil
}

// Probe writes a record to every partition and returns when all are acknowledged. It starts with the brokers at addrs, so that it need not
// find out first which others do not answer.
func (c *Set) Probe(ctx context.Context, addrs []string) error {
	p, err := c.idle(0, kgo.SeedBrokers(addrs...), kgo.RequestTimeoutOverhead(2*time.Second), kgo.ProduceRequestTimeout(2*time.Second))
	if err != nil {
		return err
	}
	defer p.client.Close()
	for i := range c.Partitions {
		p.send(i, 0, func() {})
	}
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("%d of %d partitions do not take a record: %w", p.client.BufferedProduceRecords(), c.Partitions, err)
	}
	return nil
}

// ends asks for the ends of all partitions that are not empty, until it gets them: whom the client takes for a leader may not be it any more.
func (c *Set) ends(ctx context.Context, adm *kadm.Client) (map[int32]int64, error) {
	for {
		listed, err := adm.ListEndOffsets(ctx, c.Topic)
		if err == nil {
			err = listed.Error()
		}
		if err == nil && len(listed[c.Topic]) != int(c.Partitions) {
			err = fmt.Errorf("%d of %d partitions are listed", len(listed[c.Topic]), c.Partitions)
		}
		if err == nil {
			ends := map[int32]int64{}
			for i, o := range listed[c.Topic] {
				if o.Offset > 0 {
					ends[i] = o.Offset
				}
			}
			return ends, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("list end offsets: %w", err)
		}
	}
}

// ReadAll reads every partition from the start to its end, as the final read.
func (c *Set) ReadAll(ctx context.Context) error {
	client, err := kgo.NewClient(c.Options(c.fromStart(), isolation(c.Committed), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()))...)
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := c.ends(ctx, kadm.NewClient(client))
	if err != nil {
		return err
	}
	process := c.process()
	got := c.reading(process)
	c.Rec.PolledFinally(process, nil)
	for len(ends) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("the final read does not come to an end, these are missing: %v", ends)
		}
		c.Rec.PolledFinally(process, got.take(fetches))
		fetches.EachRecord(func(r *kgo.Record) { // the last one may be a marker
			if r.Offset+1 >= ends[r.Partition] {
				delete(ends, r.Partition)
			}
		})
	}
	return nil
}
