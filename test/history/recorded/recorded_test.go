// Package recorded has a history of Apache Kafka 4.3.0, which the checker must let pass: a check that Kafka does not pass is a wrong check. It was recorded by this
// test, with SLUICE_HISTORY_KAFKA=file (make history-kafka), from a broker that was killed and started again under load.
package recorded

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"sluice/test/clients"
	"sluice/test/history"
	"sluice/test/twin"
)

const fixture = "testdata/kafka-4.3.0.jsonl.zst"

// TestKafka checks the recorded history, or records another one first.
func TestKafka(t *testing.T) {
	path := fixture
	if file := os.Getenv("SLUICE_HISTORY_KAFKA"); file != "" {
		record(t, file)
		path = file
	}
	h, err := history.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r := h.Check(history.Want{Faults: []string{"kill"}, Acknowledged: 500})
	t.Log(r)
	if r.Verdict != history.Pass {
		t.Error("Apache Kafka does not pass")
	}
	for _, l := range r.Checks {
		if l.Examined == 0 {
			t.Errorf("there was nothing for the check %q", l.Check)
		}
	}
}

// kills is how often Kafka is killed.
const kills = 2

func record(t *testing.T, file string) {
	rec, err := history.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	kafka := twin.NewKafka(t)
	set := &clients.Set{
		Addrs: []string{kafka.Addr}, Topic: "history", Partitions: 3, Rec: rec, Complain: t.Errorf, Committed: true, Marks: true,
		Burst: 3, Pause: 100 * time.Millisecond, Padding: 50,
	}
	kafka.Launch()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	kafka.Await()
	if err := set.CreateTopic(ctx); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	producers, readers := load(t, set)
	for range kills {
		time.Sleep(3*time.Second + time.Duration(rnd.Int64N(int64(2*time.Second))))
		kafka.Kill()
		rec.Fault("kill")
		kafka.Launch()
		kafka.Await()
	}
	time.Sleep(3 * time.Second)
	for _, p := range producers {
		if err := p.Halt(time.Minute); err != nil {
			t.Error(err)
		}
	}
	for _, r := range readers {
		r.Halt()
	}
	if err := clients.CheckAtRest(ctx, set.Reach(), set.Topic); err != nil {
		t.Error(err)
	}
	if err := set.ReadAll(ctx); err != nil {
		t.Error(err)
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
}

// load starts clients of every kind.
func load(t *testing.T, set *clients.Set) (producers []*clients.Producer, readers []*clients.Reader) {
	for seed := range uint64(2) {
		p, err := set.Produce(seed)
		if err != nil {
			t.Fatal(err)
		}
		producers = append(producers, p)
	}
	for _, start := range []func() (*clients.Reader, error){
		set.Tail,
		func() (*clients.Reader, error) { return set.Member("members") },
		func() (*clients.Reader, error) { return set.Member("members") },
		func() (*clients.Reader, error) { return set.Commit("offsets") },
	} {
		r, err := start()
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	return producers, append(readers, set.Transact(3, "one"), set.Transact(4, "two"))
}
