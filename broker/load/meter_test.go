package load

import (
	"bytes"
	"context"
	"iter"
	"runtime"
	"slices"
	"testing"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/cluster/balance"
	"sluice/wire/batch"
)

// bench is a node with partitions on streams in memory, and a clock and a CPU that the test moves.
type bench struct {
	t     testing.TB
	wal   memlog.WAL
	parts []*partition.Partition
	now   time.Time
	used  time.Duration
}

func (b *bench) all() iter.Seq[*partition.Partition] { return slices.Values(b.parts) }

func (b *bench) open(topic byte, index int32) *partition.Partition {
	b.t.Helper()
	p, err := partition.Open(context.Background(), partition.Options{Topic: base.UUID{topic}, Name: "t", Index: index, Data: b.wal.New(0), Meta: b.wal.New(0)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.parts = append(b.parts, p)
	return p
}

// write appends a batch and returns its size.
func (b *bench) write(p *partition.Partition, value int) float64 {
	b.t.Helper()
	bld := batch.NewBuilder(batch.Options{})
	bld.Add(batch.Record{Timestamp: time.Now().UnixMilli(), Value: bytes.Repeat([]byte{'v'}, value)})
	raw := bld.Bytes()
	p.Append(partition.AppendRequest{Batch: raw, Version: 11}, func(r partition.AppendResult) {
		if r.Err != nil {
			b.t.Error(r.Err)
		}
	})
	b.wal.Complete(1)
	return float64(len(raw))
}

func (b *bench) read(p *partition.Partition) float64 {
	b.t.Helper()
	res, err := p.Read(context.Background(), partition.ReadRequest{MaxBytes: 1 << 20, LeaderEpoch: partition.NoEpoch, LastEpoch: partition.NoEpoch})
	if err != nil {
		b.t.Fatal(err)
	}
	n := res.Bytes()
	if res.Chunk != nil {
		res.Chunk.Release()
	}
	return float64(n)
}

func newBench(t testing.TB) *bench { return &bench{t: t, now: time.Unix(1_700_000_000, 0)} }

func (b *bench) meter() *Meter {
	return NewMeter(Options{Partitions: b.all, Now: func() time.Time { return b.now }, CPU: func() time.Duration { return b.used }, Cores: 4})
}

func TestSample(t *testing.T) {
	b := newBench(t)
	one, two := b.open(1, 0), b.open(1, 1)
	b.open(1, 2) // does nothing
	b.write(one, 100)
	m := b.meter() // what was before does not count
	in := b.write(one, 1000) + b.write(one, 1000)
	other := b.write(two, 10)
	out := b.read(one)
	b.read(b.parts[2]) // finds nothing
	b.now, b.used = b.now.Add(2*time.Second), b.used+4*time.Second
	l := m.Sample()
	if l.CPU != 0.5 || l.BytesIn != (in+other)/2 || l.BytesOut != out/2 || l.Requests != 2 {
		t.Fatalf("got %+v, want %v bytes in, %v out", l, (in+other)/2, out/2)
	}
	if len(l.Partitions) != 2 || l.Partitions[0].BytesIn != in/2 || l.Partitions[0].BytesOut != out/2 || l.Partitions[0].Requests != 1.5 || l.Partitions[1].Partition.Index != 1 {
		t.Fatalf("got %+v", l.Partitions)
	}
	b.now = b.now.Add(time.Millisecond)
	if again := m.Sample(); again.BytesIn != l.BytesIn {
		t.Fatalf("a millisecond later: %+v", again)
	}
	b.now = b.now.Add(time.Second)
	if l = m.Sample(); l.BytesIn != 0 || l.CPU != 0 || l.Partitions != nil {
		t.Fatalf("nothing happened, and yet %+v", l)
	}
}

// A partition that goes away and comes back is another object, whose counters begin at 0: no rate may come out negative or as the sum of all time.
func TestReopenedPartition(t *testing.T) {
	b := newBench(t)
	p := b.open(1, 0)
	m := b.meter()
	b.write(p, 10_000)
	b.now = b.now.Add(time.Second)
	m.Sample()
	b.parts = nil
	n := b.write(b.open(1, 0), 10)
	b.now = b.now.Add(time.Second)
	if l := m.Sample(); l.BytesIn != n || len(l.Partitions) != 1 || l.Partitions[0].BytesIn != n {
		t.Fatalf("got %+v, want %v", l, n)
	}
}

func TestTheBusiestAreListed(t *testing.T) {
	b := newBench(t)
	var want float64
	for i := range 3 * balance.MaxPartitions {
		b.open(1, int32(i))
	}
	m := b.meter()
	for i, p := range b.parts {
		want += b.write(p, 10+i)
	}
	b.now = b.now.Add(time.Second)
	l := m.Sample()
	if len(l.Partitions) != balance.MaxPartitions || l.BytesIn != want {
		t.Fatalf("%d partitions, %v bytes of %v", len(l.Partitions), l.BytesIn, want)
	}
	for _, p := range l.Partitions {
		if p.Partition.Index < 2*balance.MaxPartitions {
			t.Fatalf("partition %d is not one of the busiest", p.Partition.Index)
		}
	}
	if got, err := balance.DecodeLoad(balance.AppendLoad(nil, l)); err != nil || len(got.Partitions) != balance.MaxPartitions {
		t.Fatal(err)
	}
}

// The operating system's answer grows when work is done.
func TestProcessCPU(t *testing.T) {
	before := processCPU()
	if before == 0 {
		t.Skip("this system does not tell")
	}
	sum := 0
	for i := 0; processCPU() == before; i++ {
		sum += i
	}
	runtime.KeepAlive(sum)
}

func BenchmarkSample(bb *testing.B) {
	b := newBench(bb)
	for i := range 2000 {
		b.open(1, int32(i))
	}
	m := b.meter()
	for _, p := range b.parts {
		b.write(p, 10)
	}
	bb.ReportAllocs()
	for bb.Loop() {
		b.now = b.now.Add(time.Second)
		m.Sample()
	}
}
