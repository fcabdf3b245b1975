package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

const (
	// rawInFlight is how many produce requests a raw producer has under way, as many as Kafka's idempotent producer.
	rawInFlight    = 5
	rawProduceV    = 9
	rawFetchV      = 12
	rawFetchBytes  = 16 << 20
	rawPartBytes   = 1 << 20
	rawFetchWaitMS = 500
	rawSocketBytes = 1 << 20
)

// rawConn is one connection to one broker.
type rawConn struct {
	net.Conn
	in  *bufio.Reader
	buf []byte
}

// dialLeader connects to the leader of a partition.
func (r *run) dialLeader(ctx context.Context, to target) (*rawConn, error) {
	cl, err := kgo.NewClient(r.opt.connect()...)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "--bootstrap-server: %w", err)
	}
	defer cl.Close()
	meta, err := kadm.NewClient(cl).Metadata(ctx, to.topic)
	if err != nil {
		return nil, base.Errorf(base.Unavailable, "metadata: %w", err)
	}
	leader := meta.Topics[to.topic].Partitions[to.partition].Leader
	for _, b := range meta.Brokers {
		if b.NodeID == leader {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
			if err != nil {
				return nil, base.Errorf(base.Unavailable, "connect to broker %d: %w", leader, err)
			}
			return &rawConn{Conn: c, in: bufio.NewReaderSize(c, rawSocketBytes)}, nil
		}
	}
	return nil, base.Errorf(base.Unavailable, "partition %d of %s has no leader", to.partition, to.topic)
}

// frame encodes a request with its length in front; the correlation id is at bytes 8 to 12.
func frame(m msg.Message, version int16) []byte {
	name := "sluice-bench"
	header := msg.RequestHeader{APIKey: m.APIKey(), Version: version, ClientID: &name}
	b := m.Append(header.Append(make([]byte, 4)), version)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// receive reads one response and returns its body, valid until the next call.
func (c *rawConn) receive(key, version int16) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.in, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if cap(c.buf) < n {
		c.buf = make([]byte, n+n/4)
	}
	c.buf = c.buf[:n]
	if _, err := io.ReadFull(c.in, c.buf); err != nil {
		return nil, err
	}
	skip := 4
	if msg.IsFlexible(key, version) {
		skip = 5
	}
	return c.buf[min(skip, n):], nil
}

// produceRaw sends prepared requests of one batch each, round-robin over its partitions, as many at once as rawInFlight. A batch
// is one sample that counts for all its records.
func (r *run) produceRaw(ctx context.Context, start time.Time, i int) error {
	targets := r.targets(i)
	conn, err := r.dialLeader(ctx, targets[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	records := max(r.opt.BatchBytes/(r.opt.RecordSize+rawRecordOverhead), 1)
	frames := make([][]byte, len(targets))
	for k, to := range targets {
		frames[k] = r.produceFrame(to, records)
	}
	pace := newPacer(start, float64(r.opt.Rate)/float64(r.opt.Producers)/float64(records), float64(i)/float64(r.opt.Producers))

	slots := make(chan struct{}, rawInFlight)
	intendedTimes := make(chan time.Time, rawInFlight)
	failed := make(chan error, 1)
	go func() { failed <- r.acknowledgements(ctx, conn, records, intendedTimes, slots) }()
	for n := 0; ; n++ {
		intended, ok := pace.take(ctx)
		if !ok {
			break
		}
		select {
		case slots <- struct{}{}:
		case err := <-failed:
			return err
		}
		b := frames[n%len(frames)]
		binary.BigEndian.PutUint32(b[8:], uint32(n))
		intendedTimes <- intended
		if _, err := conn.Write(b); err != nil {
			return base.Errorf(base.Unavailable, "produce: %w", err)
		}
	}
	close(intendedTimes)
	return <-failed
}

// rawRecordOverhead is the most that a record of up to 2 MiB takes besides its value.
const rawRecordOverhead = 16

func (r *run) produceFrame(to target, records int) []byte {
	value := r.newValue()
	b := batch.NewBuilder(batch.Options{})
	now := time.Now().UnixMilli()
	for range records {
		b.Add(batch.Record{Timestamp: now, Value: value})
	}
	acks := map[string]int16{"all": -1, "1": 1, "0": 0}[r.opt.Acks]
	return frame(&msg.ProduceRequest{Acks: acks, TimeoutMs: 30000, TopicData: []msg.ProduceRequestTopicProduceData{{
		Name: to.topic, PartitionData: []msg.ProduceRequestPartitionProduceData{{Index: to.partition, Records: b.Bytes()}},
	}}}, rawProduceV)
}

func (r *run) acknowledgements(ctx context.Context, conn *rawConn, records int, intendedTimes <-chan time.Time, slots <-chan struct{}) error {
	for intended := range intendedTimes {
		code, err := int16(0), error(nil)
		if r.opt.Acks != "0" {
			code, err = conn.produced()
		}
		if err != nil {
			return base.Errorf(base.Unavailable, "produce: %w", err)
		}
		now := time.Now()
		if code != 0 {
			r.acked.fail(&kerr.Error{Code: kerr.Code(code)})
		} else {
			r.acked.add(sample{now.Sub(intended), int64(records), int64(records * r.opt.RecordSize), r.measured(intended, now)})
		}
		<-slots
	}
	return nil
}

func (c *rawConn) produced() (int16, error) {
	body, err := c.receive(msg.KeyProduce, rawProduceV)
	if err != nil {
		return 0, err
	}
	var res msg.ProduceResponse
	in := kbin.NewReader(body)
	if res.Decode(&in, rawProduceV); in.Err() != nil {
		return 0, in.Err()
	}
	return res.Responses[0].PartitionResponses[0].ErrorCode, nil
}

// rawConsumer fetches and drops.
type rawConsumer struct {
	run   *run
	conn  *rawConn
	parts []target
	next  map[target]int64
}

func (r *run) openRawConsumer(ctx context.Context, parts []target) (consumer, error) {
	next, err := r.startOffsets(ctx, parts)
	if err != nil {
		return nil, err
	}
	conn, err := r.dialLeader(ctx, parts[0])
	if err != nil {
		return nil, err
	}
	return &rawConsumer{r, conn, parts, next}, nil
}

func (c *rawConsumer) consume(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	defer c.conn.Close()
	for turn := 0; ; turn++ {
		if _, err := c.conn.Write(frame(c.request(turn), rawFetchV)); err != nil {
			return c.ended(ctx, err)
		}
		body, err := c.conn.receive(msg.KeyFetch, rawFetchV)
		if err != nil {
			return c.ended(ctx, err)
		}
		if err := c.take(body); err != nil {
			return err
		}
	}
}

func (c *rawConsumer) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return base.Errorf(base.Unavailable, "fetch: %w", err)
}

// request asks for all partitions, starting with another one each time.
func (c *rawConsumer) request(turn int) *msg.FetchRequest {
	req := &msg.FetchRequest{}
	req.SetDefaults()
	req.MaxWaitMs, req.MinBytes, req.MaxBytes, req.SessionEpoch = rawFetchWaitMS, 1, rawFetchBytes, -1
	byTopic := map[string]int{}
	for k := range c.parts {
		p := c.parts[(k+turn)%len(c.parts)]
		at, ok := byTopic[p.topic]
		if !ok {
			at = len(req.Topics)
			byTopic[p.topic] = at
			req.Topics = append(req.Topics, msg.FetchRequestFetchTopic{Topic: p.topic})
		}
		var part msg.FetchRequestFetchPartition
		part.SetDefaults()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.partition, c.next[p], rawPartBytes
		req.Topics[at].Partitions = append(req.Topics[at].Partitions, part)
	}
	return req
}

// take counts what came and moves the offsets on.
func (c *rawConsumer) take(body []byte) error {
	var res msg.FetchResponse
	in := kbin.NewReader(body)
	if res.Decode(&in, rawFetchV); in.Err() != nil {
		return in.Err()
	}
	now := time.Now()
	for _, t := range res.Responses {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				c.run.read.fail(&kerr.Error{Code: kerr.Code(p.ErrorCode)})
				continue
			}
			for _, records := range p.Records {
				c.count(target{t.Topic, p.PartitionIndex}, records, now)
			}
		}
	}
	return nil
}

// count walks over the batches; the last one may be cut.
func (c *rawConsumer) count(p target, b []byte, now time.Time) {
	for len(b) >= batch.HeaderBytes {
		size := 12 + int(binary.BigEndian.Uint32(b[8:]))
		if size > len(b) {
			return
		}
		next := int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[23:])) + 1
		n := next - c.next[p]
		c.next[p] = next
		c.run.read.add(sample{0, n, n * int64(c.run.opt.RecordSize), c.run.measured(now, now)})
		b = b[size:]
	}
}
