package balance

import (
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/cluster/meta"
)

func TestLoadRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := func(what string) float64 { return float64(rapid.Int64Range(0, 1<<53).Draw(t, what)) }
		want := NodeLoad{CPU: float64(rapid.IntRange(0, 10_000).Draw(t, "cpu")) / 10_000, BytesIn: rate("in"), BytesOut: rate("out"), Requests: rate("requests")}
		for range rapid.IntRange(0, MaxPartitions).Draw(t, "n") {
			want.Partitions = append(want.Partitions, PartitionLoad{
				Partition: meta.PartitionID{Topic: base.UUID{rapid.Byte().Draw(t, "topic")}, Index: rapid.Int32Range(0, math.MaxInt32).Draw(t, "index")},
				BytesIn:   rate("in"), BytesOut: rate("out"), Requests: rate("requests")})
		}
		b := AppendLoad([]byte("head"), want)
		got, err := DecodeLoad(b[4:])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\ngot  %v\nwant %v", err, got, want)
		}
		if cut := rapid.IntRange(4, len(b)-1).Draw(t, "cut"); true {
			if _, err := DecodeLoad(b[4:cut]); !base.IsKind(err, base.Corrupt) {
				t.Fatalf("cut at %d of %d: %v", cut, len(b), err)
			}
		}
	})
}

// What a report must not hold is left out of it, so that a broken meter cannot break the controller.
func TestLoadIsBounded(t *testing.T) {
	l := NodeLoad{CPU: 17, BytesIn: math.NaN(), BytesOut: math.Inf(1), Requests: -1, Partitions: make([]PartitionLoad, 3*MaxPartitions)}
	got, err := DecodeLoad(AppendLoad(nil, l))
	if err != nil || len(got.Partitions) != MaxPartitions || got.CPU != 1 || got.BytesIn != 0 || got.BytesOut != 1<<53 || got.Requests != 0 {
		t.Fatalf("%v: %d partitions, %v %v %v %v", err, len(got.Partitions), got.CPU, got.BytesIn, got.BytesOut, got.Requests)
	}
}

func FuzzDecodeLoad(f *testing.F) {
	f.Add(AppendLoad(nil, NodeLoad{CPU: 0.5, Partitions: make([]PartitionLoad, 2)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := DecodeLoad(b)
		if err != nil {
			return
		}
		again, err := DecodeLoad(AppendLoad(nil, l))
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Fatalf("%v: %v is not %v", err, again, l)
		}
	})
}
