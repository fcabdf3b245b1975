package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"time"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// requestAttacks are those that consist of requests. Their size is a number of connections.
var requestAttacks = []attack{
	{"100 MB requests, sent", sent},
	{"requests that become large when they are decoded", inflated},
	{"decompression bombs", bombs},
	{"readers that do not read what they asked for", slowReaders},
	{"metadata of all topics, without reading", metadataStorm},
	{"ApiVersions, as many as go", apiVersionsFlood},
	{"a request with 50,000 topics", manyTopics},
	{"wrong strings, tags and arrays", malformed},
}

// sent: requests of the largest size, sent whole. What is no Produce may be refused by closing the connection.
func sent(ctx context.Context, v *victim, size int) error {
	zeros := make([]byte, 1<<20)
	return swarm(ctx, min(size, 6), func(ctx context.Context, i int) error {
		nc := connect(ctx, attackerIP, v.plain)
		if nc == nil {
			return nil
		}
		defer nc.Close()
		defer context.AfterFunc(ctx, func() { nc.Close() })()
		head := declared([]int16{msg.KeyProduce, msg.KeyMetadata, msg.KeyProduce, msg.KeyOffsetCommit}[i%4], 9, requestMiB<<20, 0)
		_, err := nc.Write(head)
		for left := requestMiB<<20 + 4 - len(head); left > 0 && err == nil; {
			var n int
			n, err = nc.Write(zeros[:min(left, len(zeros))])
			left -= n
		}
		waitForEnd(ctx, nc)
		return nil
	})
}

// inflated: arrays of the smallest elements, which take many times their size in memory.
func inflated(ctx context.Context, v *victim, size int) error {
	var requests [][]byte
	for _, a := range msg.APIs {
		for _, n := range []int{900_000, 8_000_000} {
			// Zeros are empty strings and arrays; the first bytes are tried as a count of an array.
			for lead := range 3 {
				body := kbin.AppendArrayLen(make([]byte, lead), msg.IsFlexible(a.Key, a.Max), min(n, kbin.ArrayLenMax)/3)
				requests = append(requests, rawFrame(a.Key, a.Max, append(body, make([]byte, n)...)))
				break
			}
		}
	}
	return swarm(ctx, min(size, 8), func(ctx context.Context, i int) error {
		for n := range requests {
			nc := connect(ctx, attackerIP, v.plain)
			if nc == nil || ctx.Err() != nil {
				return nil
			}
			stop := context.AfterFunc(ctx, func() { nc.Close() })
			if _, err := nc.Write(requests[(n+i*7)%len(requests)]); err == nil {
				nc.SetReadDeadline(time.Now().Add(5 * time.Second)) // some are right, and are answered
				var b [1]byte
				_, _ = nc.Read(b[:])
			}
			stop()
			nc.Close()
		}
		return nil
	})
}

// bomb is a batch of a codec that becomes large.
func bomb(codec batch.Codec, size int) []byte {
	b := batch.NewBuilder(batch.Options{Codec: codec})
	b.Add(batch.Record{Key: []byte("k"), Value: make([]byte, size)})
	return b.Bytes()
}

var codecs = []batch.Codec{batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd}

// bombs are produced to a topic whose records have to be looked at. They are taken or refused, and answered in any case; each attacker ends his round.
func bombs(ctx context.Context, v *victim, size int) error {
	var requests [][]byte
	for _, codec := range codecs {
		for _, mib := range []int{10, 90, 200} {
			b := bomb(codec, mib<<20)
			requests = append(requests, produceFrame(compacted, b))
		}
	}
	return swarm(ctx, min(size, 12), func(ctx context.Context, i int) error {
		nc := connect(ctx, attackerIP, v.plain)
		if nc == nil {
			return nil
		}
		defer nc.Close()
		for n := range requests {
			if _, err := nc.Write(requests[(n+i)%len(requests)]); err != nil {
				return err
			}
			var resp msg.ProduceResponse
			if err := answer(nc, 9, &resp); err != nil {
				return fmt.Errorf("a bomb was not answered: %w", err)
			}
		}
		return nil
	})
}

func produceFrame(topic string, records []byte) []byte {
	return frame(9, &msg.ProduceRequest{Acks: -1, TimeoutMs: 30_000, TopicData: []msg.ProduceRequestTopicProduceData{{
		Name: topic, PartitionData: []msg.ProduceRequestPartitionProduceData{{Records: records}}}}})
}

// slowReaders ask for much, many times, and read nothing.
func slowReaders(ctx context.Context, v *victim, size int) error {
	request := frame(11, &msg.FetchRequest{ReplicaId: -1, MaxWaitMs: 500, MinBytes: 1, MaxBytes: math.MaxInt32, SessionEpoch: -1, Topics: []msg.FetchRequestFetchTopic{{
		Topic: largeTopic, Partitions: []msg.FetchRequestFetchPartition{{CurrentLeaderEpoch: -1, PartitionMaxBytes: math.MaxInt32}}}}})
	return swarm(ctx, size, func(ctx context.Context, i int) error {
		if nc := connect(ctx, attackerIP, v.plain); nc != nil {
			defer nc.Close()
			nc.(*net.TCPConn).SetReadBuffer(4 << 10)
			if _, err := nc.Write(bytes.Repeat(request, 20)); err == nil {
				<-ctx.Done()
			}
		}
		return nil
	})
}

func metadataStorm(ctx context.Context, v *victim, size int) error {
	request := bytes.Repeat(frame(9, &msg.MetadataRequest{}), 100)
	return swarm(ctx, size, func(ctx context.Context, i int) error {
		if nc := connect(ctx, attackerIP, v.plain); nc != nil {
			defer nc.Close()
			defer context.AfterFunc(ctx, func() { nc.Close() })()
			for {
				if _, err := nc.Write(request); err != nil {
					return nil
				}
			}
		}
		return nil
	})
}

// apiVersionsFlood asks on, and reads what comes; on the listener with logins as well, where nobody needs to log in for it.
func apiVersionsFlood(ctx context.Context, v *victim, size int) error {
	request := bytes.Repeat(frame(3, &msg.ApiVersionsRequest{ClientSoftwareName: "storm", ClientSoftwareVersion: "1"}), 100)
	return swarm(ctx, min(size, 16), func(ctx context.Context, i int) error {
		nc := connect(ctx, attackerIP, []string{v.plain, v.login}[i%2])
		if nc == nil {
			return nil
		}
		defer nc.Close()
		defer context.AfterFunc(ctx, func() { nc.Close() })()
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		for {
			if _, err := nc.Write(request); err != nil {
				return nil
			}
		}
	})
}

// manyTopics asks for topics that are not there, in every way there is; each is answered for each topic, and each attacker ends his round.
func manyTopics(ctx context.Context, v *victim, size int) error {
	const n = 50_000
	meta, fetch, create := &msg.MetadataRequest{AllowAutoTopicCreation: true}, &msg.FetchRequest{ReplicaId: -1, MaxBytes: 1 << 20, SessionEpoch: -1}, &msg.CreateTopicsRequest{ValidateOnly: true, TimeoutMs: 1000}
	for i := range n {
		name := fmt.Sprintf("nothing-%d", i)
		meta.Topics = append(meta.Topics, msg.MetadataRequestMetadataRequestTopic{Name: &name})
		fetch.Topics = append(fetch.Topics, msg.FetchRequestFetchTopic{Topic: name, Partitions: []msg.FetchRequestFetchPartition{{CurrentLeaderEpoch: -1, PartitionMaxBytes: 1000}}})
		create.Topics = append(create.Topics, msg.CreateTopicsRequestCreatableTopic{Name: name, NumPartitions: 1, ReplicationFactor: 1})
	}
	metaFrame, fetchFrame, createFrame := frame(9, meta), frame(11, fetch), frame(5, create)
	return swarm(ctx, min(size, 6), func(ctx context.Context, i int) error {
		nc := connect(ctx, attackerIP, v.plain)
		if nc == nil {
			return nil
		}
		defer nc.Close()
		var answered int
		var err error
		switch i % 3 {
		case 0:
			var resp msg.MetadataResponse
			_, err = nc.Write(metaFrame)
			err = errors.Join(err, answer(nc, 9, &resp))
			answered = len(resp.Topics)
		case 1:
			var resp msg.FetchResponse
			_, err = nc.Write(fetchFrame)
			err = errors.Join(err, answer(nc, 11, &resp))
			answered = len(resp.Responses)
		default:
			var resp msg.CreateTopicsResponse
			_, err = nc.Write(createFrame)
			err = errors.Join(err, answer(nc, 5, &resp))
			answered = len(resp.Topics)
			for i := range resp.Topics {
				if code := kerr.Code(resp.Topics[i].ErrorCode); code != kerr.PolicyViolation {
					return fmt.Errorf("50,000 topics in one request: %v", code)
				}
			}
		}
		if err != nil || answered != n {
			return fmt.Errorf("%d of %d topics answered: %w", answered, n, err)
		}
		return nil
	})
}

// malformed: what is no request ends the connection; what is one with impossible contents is answered.
func malformed(ctx context.Context, v *victim, size int) error {
	long, wrong := strings.Repeat("x", math.MaxInt16), "\xff\xfe\x00"
	tags := kbin.AppendUvarint(nil, kbin.TagsMax+1)
	for tag := range uint32(kbin.TagsMax + 1) {
		tags = append(kbin.AppendUvarint(tags, tag), 1, 0)
	}
	cut := [][]byte{
		rawFrame(msg.KeyMetadata, 9, []byte{0xff, 0xff, 0xff, 0xff, 0x07, 0}),
		rawFrame(msg.KeyOffsetFetch, 9, []byte{0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}),
		rawFrame(msg.KeyFetch, 11, bytes.Repeat([]byte{0x7f}, 100)),
		rawFrame(msg.KeyMetadata, 9, append([]byte{0, 1, 0, 0}, tags...)),
		rawFrame(5000, 0, nil), rawFrame(msg.KeyMetadata, 99, nil), rawFrame(-1, -1, nil),
		declared(msg.KeyMetadata, 9, -5, 0), declared(msg.KeyMetadata, 9, math.MaxInt32, 10),
	}
	answered := []string{long, wrong, strings.Repeat("é", 200), "../../etc", ""}
	return swarm(ctx, min(size, 8), func(ctx context.Context, i int) error {
		for _, request := range cut {
			nc := connect(ctx, attackerIP, v.plain)
			if nc == nil || ctx.Err() != nil {
				return nil
			}
			if _, err := nc.Write(request); err == nil {
				if n, err := closed(nc, patience); err != nil || n != 0 {
					nc.Close()
					return fmt.Errorf("request %x: %d bytes of answer, %w", request[:16], n, err)
				}
			}
			nc.Close()
		}
		nc := connect(ctx, attackerIP, v.plain)
		if nc == nil {
			return nil
		}
		defer nc.Close()
		for _, name := range answered {
			var resp msg.MetadataResponse
			if err := ask(nc, 8, &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{{Name: &name, TopicId: base.UUID{}}}}, &resp); err != nil {
				return fmt.Errorf("metadata of %.20q: %w", name, err)
			}
			if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != int16(kerr.InvalidTopicException) {
				return fmt.Errorf("metadata of %.20q: %+v", name, resp.Topics)
			}
		}
		return nil
	})
}
