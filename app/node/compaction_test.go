package node

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/compact"
)

// kept returns how many committed objects there are, and how many ranges of streams lie in them.
func (c *cluster) kept() (objects, ranges int) {
	for o := range c.node.member.Image().Objects() {
		if o.State == meta.Committed {
			objects++
			ranges += int(o.Refs)
		}
	}
	return objects, ranges
}

// compact runs rounds until there is nothing left to do.
func (c *cluster) compact() (sum compact.Report) {
	c.t.Helper()
	for {
		rep, err := c.node.compactNow(c.ctx())
		if err != nil || rep.Failed > 0 {
			c.t.Fatalf("%+v: %v", rep, err)
		}
		sum.Replaced += rep.Replaced
		sum.BytesRead += rep.BytesRead
		sum.ObjectsRead += rep.ObjectsRead
		sum.ObjectsMade += rep.ObjectsMade
		if rep.Left == 0 {
			return sum
		}
	}
}

// TestCompaction: many small uploads to many topics end up in few objects and few ranges, with crashes between; everything is read back, from the
// bucket, while that happens and after it; and once there is nothing to do a round makes no request.
func TestCompaction(t *testing.T) {
	const topics, rounds, perRound = 12, 60, 40
	c := newCluster(t, "upload-interval=1h", "compaction-interval=1h")
	c.start()
	rng := rand.New(rand.NewPCG(4, 2))
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprint("topic-", i))
		c.createTopic(names[i], 2)
	}
	produced := map[string]int{}
	uploads, rewritten := 0, 0
	cl := c.client()
	for round := range rounds {
		for range perRound {
			name := names[rng.IntN(topics)]
			v := fmt.Sprintf("value-%06d", produced[name])
			produced[name]++
			cl.Produce(c.ctx(), &kgo.Record{Topic: name, Key: []byte(v), Value: []byte(v)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := cl.Flush(c.ctx()); err != nil {
			t.Fatal(err)
		}
		if err := c.node.volumes.open[0].engine.Flush(c.ctx()); err != nil {
			t.Fatal(err)
		}
		uploads++
		if round%10 == 9 {
			rewritten += c.compact().Replaced
		}
		if round == rounds/3 || round == 2*rounds/3 {
			c.crash()
			c.start()
			cl = c.client() // the one of before knows where the broker was
		}
	}
	c.compact()
	objects, ranges := c.kept()
	t.Logf("%d uploads are in %d objects and %d ranges; %d parts of streams were rewritten", uploads, objects, ranges, rewritten)
	if streams := 2 * 2 * topics; objects > uploads/3 || ranges > 10*streams || rewritten == 0 {
		t.Errorf("%d uploads are in %d objects and %d ranges of %d streams", uploads, objects, ranges, streams)
	}
	if rep := c.compact(); rep.Replaced+rep.ObjectsRead != 0 || rep.BytesRead != 0 {
		t.Errorf("with nothing to do: %+v", rep)
	}
	c.crash() // nothing is left in memory
	c.start()
	for _, name := range names {
		c.wantEach(c.consume(c.client(reader(name)...), produced[name]), 0, produced[name])
	}
}

// TestCompactionCanBeOff: with the setting off nothing is compacted, also not when asked.
func TestCompactionCanBeOff(t *testing.T) {
	c := newCluster(t, "compaction=false")
	c.start()
	if _, err := c.node.compactNow(t.Context()); !base.IsKind(err, base.Unavailable) {
		t.Errorf("a round was run: %v", err)
	}
}
