package msg

import (
	"bytes"
	"fmt"
	"testing"

	"sluice/base"
	"sluice/wire/kbin"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	benchVersionProduce = 13
	benchVersionFetch   = 18
	benchRecordBytes    = 16 << 10
)

func produceBody(partitions int) []byte {
	topic := ProduceRequestTopicProduceData{TopicId: base.UUID{1}}
	for i := range partitions {
		topic.PartitionData = append(topic.PartitionData, ProduceRequestPartitionProduceData{Index: int32(i), Records: make([]byte, benchRecordBytes)})
	}
	m := ProduceRequest{Acks: -1, TimeoutMs: 30000, TopicData: []ProduceRequestTopicProduceData{topic}}
	return m.Append(nil, benchVersionProduce)
}

func fetchAnswer(partitions int) *FetchResponse {
	topic := FetchResponseFetchableTopicResponse{TopicId: base.UUID{1}}
	for i := range partitions {
		var p FetchResponsePartitionData
		p.SetDefaults()
		p.PartitionIndex, p.HighWatermark, p.Records = int32(i), 1000, [][]byte{make([]byte, benchRecordBytes)}
		topic.Partitions = append(topic.Partitions, p)
	}
	m := &FetchResponse{}
	m.SetDefaults()
	m.Responses = []FetchResponseFetchableTopicResponse{topic}
	return m
}

// TestHotPathAllocations: decoding a Produce request allocates its two kinds of slices and nothing per partition; encoding a Fetch
// response into a warm Gather allocates nothing, and neither copies records.
func TestHotPathAllocations(t *testing.T) {
	for _, partitions := range []int{1, 100} {
		body := produceBody(partitions)
		var m ProduceRequest
		if n := testing.AllocsPerRun(100, func() {
			r := kbin.NewReader(body)
			if m.Decode(&r, benchVersionProduce); r.Err() != nil {
				t.Fatal(r.Err())
			}
		}); n > 3 {
			t.Errorf("decoding Produce with %d partitions allocates %v times", partitions, n)
		}
		m.TopicData[0].PartitionData[0].Records[0] = 0x5a
		if bytes.IndexByte(body, 0x5a) < 0 {
			t.Error("records do not alias the input")
		}
		res, scratch := fetchAnswer(partitions), make([]byte, 0, 64<<10)
		var g kbin.Gather
		var segments int
		if n := testing.AllocsPerRun(100, func() {
			g.Reset(scratch)
			res.AppendGather(&g, benchVersionFetch)
			segments = len(g.Segments())
		}); n > 0 {
			t.Errorf("encoding Fetch with %d partitions allocates %v times", partitions, n)
		}
		if segments != 2*partitions+1 || g.Len() < partitions*benchRecordBytes {
			t.Errorf("%d segments, %d bytes", segments, g.Len())
		}
	}
}

func BenchmarkDecodeProduce(b *testing.B) {
	for _, partitions := range []int{1, 16, 256} {
		body := produceBody(partitions)
		b.Run(fmt.Sprint(partitions), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var m ProduceRequest
				r := kbin.NewReader(body)
				if m.Decode(&r, benchVersionProduce); r.Err() != nil {
					b.Fatal(r.Err())
				}
			}
		})
		b.Run(fmt.Sprintf("%d/kmsg", partitions), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := kmsg.ProduceRequest{Version: benchVersionProduce}
				if err := m.ReadFrom(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncodeFetch(b *testing.B) {
	for _, partitions := range []int{1, 16, 256} {
		m := fetchAnswer(partitions)
		b.Run(fmt.Sprint(partitions), func(b *testing.B) {
			var g kbin.Gather
			scratch := make([]byte, 0, 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				g.Reset(scratch)
				m.AppendGather(&g, benchVersionFetch)
				g.Segments()
			}
		})
		k := kmsg.FetchResponse{Version: benchVersionFetch}
		if err := k.ReadFrom(m.Append(nil, benchVersionFetch)); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d/kmsg", partitions), func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = k.AppendTo(dst[:0])
			}
		})
	}
}
