package cluster

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// progress tells slow from stuck: how long something takes depends on what else the machine has to do, but it has to go on.
type progress struct {
	most  int
	since time.Time // there are so many
}

func newProgress() *progress { return &progress{most: -1, since: time.Now()} }

// goesOn reports whether there were more of something within stuckAfter.
func (p *progress) goesOn(n int) bool {
	if n > p.most {
		p.most, p.since = n, time.Now()
	}
	return time.Since(p.since) < stuckAfter
}

// finishMost bounds the time until all is copied.
const finishMost = 15 * time.Minute

// foreignCopy is a program that copies the topic of a stack in transactions, see test/compat/python/copy.py.
type foreignCopy struct {
	*stack
	of *stack
	to string
}

func startForeignCopy(ctx context.Context, r *timed, of *stack) *foreignCopy {
	c := &foreignCopy{stack: &stack{r: r, name: "librdkafka, transactions", topic: of.topic}, of: of, to: of.topic + "-copy"}
	if err := r.admin(func(adm *kadm.Client) error {
		_, err := adm.CreateTopic(ctx, stackPartitions, 1, nil, c.to)
		return err
	}); err != nil {
		r.t.Fatalf("create the topic %s: %v", c.to, err)
	}
	c.start("", []string{".cache/venv/bin/python", "test/compat/python/copy.py"}, "copy", of.topic, c.to)
	return c
}

// finish waits until everything that the stack has written is copied, ends the program, and checks that each copy is there once. The stack has finished.
func (c *foreignCopy) finish(ctx context.Context) {
	g := c.r.guarantee("G4")
	c.of.mu.Lock()
	want := len(c.of.acked)
	c.of.mu.Unlock()
	var copies map[int64]int
	var wrong error
	for p := newProgress(); p.goesOn(len(copies)); {
		began := time.Now()
		copies = map[int64]int{}
		wrong = c.r.scan(ctx, c.to, func(rec *kgo.Record) {
			v, err := strconv.ParseInt(string(rec.Value), 10, 64)
			if err != nil {
				v = -1
			}
			copies[v]++
		})
		if wrong == nil && len(copies) >= want {
			break
		}
		time.Sleep(max(time.Second, 4*time.Since(began))) // the copier needs the processors, too
	}
	c.program.Stdin.Close()
	select {
	case <-c.program.Ended:
	case <-time.After(readWithin):
		c.r.guarantee("G13").Wrongf("%s does not end", c.name)
	}
	if len(copies) != want || wrong != nil {
		g.Wrongf("%s: %d of %d records were copied: %v", c.name, len(copies), want, wrong)
	}
	for v, n := range copies {
		if n != 1 || v < 0 {
			g.Wrongf("%s: value %d was copied %d times", c.name, v, n)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.errors {
		g.Wrongf("%s: %s", c.name, e)
	}
}
