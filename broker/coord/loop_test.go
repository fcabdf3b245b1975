package coord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/wire/kerr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a machine that adds up numbers: "add N" answers the sum once it is durable, "sum" answers at once, "later" answers a
// second from now, "never" does not answer.
type counter struct {
	sum     int
	given   int // by a producer whose transaction has not ended
	seen    []base.Offset
	waiting map[Token]Ticket
	later   map[Ticket]time.Time
}

func newCounter() Machine {
	return &counter{waiting: map[Token]Ticket{}, later: map[Ticket]time.Time{}}
}

func (c *counter) Replay(r Record) error {
	if r.ProducerID == 7 {
		n, err := strconv.Atoi(string(r.Value))
		c.given += n
		return err
	}
	n, err := strconv.Atoi(string(r.Value))
	if err != nil {
		return err
	}
	c.sum += n
	c.seen = append(c.seen, r.Offset)
	return nil
}

func (c *counter) Loaded(time.Time, *Effects) {}

// addition is a command that appends.
type addition string

func (addition) Writes() {}

func (c *counter) Step(now time.Time, t Ticket, command any, fx *Effects) {
	verb, arg, _ := strings.Cut(fmt.Sprint(command), " ")
	switch verb {
	case "add":
		c.waiting[fx.Append(Record{Key: []byte("k"), Value: []byte(arg)})] = t
	case "give": // on behalf of a producer
		c.waiting[fx.AppendFor(Producer{ID: 7}, Record{Key: []byte("k"), Value: []byte(arg)})] = t
	case "mark":
		c.waiting[fx.AppendMarker(Marker{ProducerID: 7, Commit: true})] = t
	case "sum":
		fx.Reply(t, fmt.Sprint(c.sum))
	case "offsets":
		fx.Reply(t, fmt.Sprint(c.seen))
	case "later":
		c.later[t] = now.Add(time.Second)
	}
}

func (c *counter) Applied(_ time.Time, token Token, fx *Effects) {
	fx.Reply(c.waiting[token], fmt.Sprint(c.sum))
	delete(c.waiting, token)
}

func (c *counter) ReplayMarker(m Marker) error {
	c.sum += c.given
	c.given = 0
	c.seen = append(c.seen, m.Offset)
	return nil
}

func (c *counter) Refused(_ time.Time, token Token, code kerr.Code, fx *Effects) {
	fx.Reply(c.waiting[token], "refused "+code.String())
	delete(c.waiting, token)
}

func (c *counter) Tick(now time.Time, fx *Effects) {
	for t, at := range c.later {
		if !at.After(now) {
			delete(c.later, t)
			fx.Reply(t, "later")
		}
	}
}

func (c *counter) Next() (next time.Time, ok bool) {
	for _, at := range c.later {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, !next.IsZero()
}

// fakeLog is a log whose appends end when the test says so.
type fakeLog struct {
	mu      sync.Mutex
	records []Record
	pending []func(error)
	loads   int
	loadErr error
	gate    chan struct{} // not nil: Replay waits for it
}

func (l *fakeLog) BatchBytesMax() int { return 1 << 20 }

func (l *fakeLog) Append(records []Record, done func(base.Offset, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, func(err error) {
		l.mu.Lock()
		first := base.Offset(len(l.records))
		if err == nil {
			l.records = append(l.records, records...)
		}
		l.mu.Unlock()
		done(first, err)
	})
}

func (l *fakeLog) AppendTxn(a Append, done func(base.Offset, error)) {
	if a.Marker != nil {
		l.Append([]Record{{Marker: a.Marker}}, done)
		return
	}
	records := slices.Clone(a.Records)
	for i := range records {
		records[i].ProducerID = a.Producer.ID
	}
	l.Append(records, done)
}

// endLast ends the last append, before those that came before it.
func (l *fakeLog) endLast(err error) {
	l.mu.Lock()
	last := len(l.pending) - 1
	fn := l.pending[last]
	l.pending = l.pending[:last]
	l.mu.Unlock()
	fn(err)
	synctest.Wait()
}

func (l *fakeLog) end(n int, err error) {
	for range n {
		l.mu.Lock()
		fn := l.pending[0]
		l.pending = l.pending[1:]
		l.mu.Unlock()
		fn(err)
	}
	synctest.Wait()
}

func (l *fakeLog) Replay(ctx context.Context, fn func(Record) error) error {
	l.mu.Lock()
	gate, err, records := l.gate, l.loadErr, slices.Clone(l.records)
	l.loads++
	l.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	for i, r := range records {
		r.Offset = base.Offset(i)
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

// calls collects answers.
type calls struct {
	s   *Shard
	mu  sync.Mutex
	got []string
}

func (c *calls) call(command string) {
	answered := false
	answer := func(text string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if answered {
			panic("answered twice: " + command)
		}
		answered = true
		c.got = append(c.got, command+": "+text)
	}
	var cmd any = command
	if strings.HasPrefix(command, "add ") {
		cmd = addition(command)
	}
	c.s.Submit(Call{Command: cmd, Reply: func(r any) { answer(r.(string)) }, Fail: func(code kerr.Code) { answer(code.String()) }})
	synctest.Wait()
}

func (c *calls) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.got, want) {
		t.Fatalf("answers\n got %q\nwant %q", c.got, want)
	}
	c.got = nil
}

func start(t *testing.T, l *fakeLog, opt Options) *calls {
	opt.Log, opt.NewMachine = l, newCounter
	s := Start(opt)
	t.Cleanup(func() { s.Stop(); s.Wait() })
	synctest.Wait()
	return &calls{s: s}
}

func test(t *testing.T, name string, fn func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
}

func TestShardOfTransactions(t *testing.T) {
	test(t, "a producer's records count from the marker on, after a load as well", func(t *testing.T) {
		l := &fakeLog{}
		c := start(t, l, Options{})
		c.call("give 5")
		c.call("add 1")
		l.end(2, nil)
		c.call("mark")
		l.end(1, nil)
		c.expect(t, "give 5: 0", "add 1: 1", "mark: 6")
		c = start(t, l, Options{})
		c.call("sum")
		c.call("offsets")
		c.expect(t, "sum: 6", "offsets: [1 2]")
	})
	test(t, "a refusal is answered at once and ends nothing", func(t *testing.T) {
		l := &fakeLog{}
		c := start(t, l, Options{})
		c.call("add 1")
		c.call("give 5")
		l.endLast(&Refusal{kerr.InvalidTxnState})
		c.expect(t, "give 5: refused INVALID_TXN_STATE")
		l.end(1, nil)
		c.expect(t, "add 1: 1")
		if l.loads != 1 {
			t.Fatal("loaded anew")
		}
	})
	test(t, "an append that fails at once, while others are under way, ends the incarnation", func(t *testing.T) {
		l := &fakeLog{}
		c := start(t, l, Options{ReloadDelayMin: time.Millisecond})
		c.call("add 1")
		c.call("add 2")
		l.endLast(errors.New("the partition is being moved"))
		c.expect(t, "add 1: NOT_COORDINATOR", "add 2: NOT_COORDINATOR")
		if l.loads != 1 {
			t.Fatal("loaded before all appends had ended")
		}
		l.end(1, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		c.call("sum")
		c.expect(t, "sum: 1")
	})
}

func TestShard(t *testing.T) {
	test(t, "answers when durable and replayed", func(t *testing.T) {
		l := &fakeLog{}
		c := start(t, l, Options{})
		c.call("add 1")
		c.call("add 2")
		c.call("sum")
		c.expect(t, "sum: 0")
		l.end(1, nil)
		c.call("sum")
		c.expect(t, "add 1: 1", "sum: 1")
		l.end(1, nil)
		c.expect(t, "add 2: 3")
	})

	test(t, "serves nothing before everything is replayed", func(t *testing.T) {
		l := &fakeLog{records: []Record{{Value: []byte("5")}, {Value: []byte("6")}}, gate: make(chan struct{})}
		c := start(t, l, Options{})
		c.call("sum")
		c.expect(t, "sum: COORDINATOR_LOAD_IN_PROGRESS")
		close(l.gate)
		synctest.Wait()
		c.call("sum")
		c.call("offsets")
		c.expect(t, "sum: 11", "offsets: [0 1]")
	})

	test(t, "loading is tried again", func(t *testing.T) {
		l := &fakeLog{loadErr: errors.New("bucket is away")}
		c := start(t, l, Options{})
		time.Sleep(time.Minute)
		c.call("sum")
		if n := l.loads; n < 10 || n > 60 {
			t.Fatalf("%d loads in a minute", n)
		}
		l.mu.Lock()
		l.loadErr = nil
		l.mu.Unlock()
		time.Sleep(10 * time.Second)
		c.call("sum")
		c.expect(t, "sum: NOT_COORDINATOR", "sum: 0")
	})

	test(t, "a failed append ends the incarnation", func(t *testing.T) {
		l := &fakeLog{}
		c := start(t, l, Options{})
		c.call("add 1")
		c.call("never")
		c.call("add 2")
		c.call("later")
		l.end(1, errors.New("no"))
		// The second append is still under way: loading has to wait for it, for it may yet be in the log.
		c.call("sum")
		c.call("add 3")
		time.Sleep(time.Minute)
		if l.loads != 1 {
			t.Fatal("loaded while an append was under way")
		}
		got := slices.Clone(c.got)
		slices.Sort(got)
		want := []string{
			"add 1: NOT_COORDINATOR", "add 2: NOT_COORDINATOR", "add 3: COORDINATOR_LOAD_IN_PROGRESS", "later: NOT_COORDINATOR",
			"never: NOT_COORDINATOR", "sum: COORDINATOR_LOAD_IN_PROGRESS",
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q", got)
		}
		c.got = nil
		l.end(1, nil)
		time.Sleep(time.Second)
		c.call("sum")
		c.call("add 10")
		l.end(1, nil)
		c.expect(t, "sum: 2", "add 10: 12")
	})

	test(t, "stop answers everybody", func(t *testing.T) {
		l := &fakeLog{}
		c := start(t, l, Options{})
		c.call("add 1")
		c.s.Stop()
		c.expect(t, "add 1: NOT_COORDINATOR")
		c.call("sum")
		c.expect(t, "sum: NOT_COORDINATOR")
		l.end(1, nil) // too late to matter
		c.s.Wait()
	})

	test(t, "stop while loading", func(t *testing.T) {
		c := start(t, &fakeLog{gate: make(chan struct{})}, Options{})
		c.s.Stop()
		c.s.Wait()
	})

	test(t, "deadlines fire", func(t *testing.T) {
		c := start(t, &fakeLog{}, Options{})
		c.call("later")
		time.Sleep(999 * time.Millisecond)
		c.expect(t)
		time.Sleep(2 * time.Millisecond)
		c.expect(t, "later: later")
		c.call("later")
		time.Sleep(time.Second + time.Millisecond)
		c.expect(t, "later: later")
	})

	test(t, "the gate is asked when the answer is given", func(t *testing.T) {
		open := true
		l := &fakeLog{}
		c := start(t, l, Options{Gate: func() bool { return open }})
		c.call("add 1")
		open = false
		l.end(1, nil)
		c.call("sum")
		c.expect(t, "add 1: NOT_COORDINATOR", "sum: NOT_COORDINATOR")
	})

	test(t, "bounds", func(t *testing.T) {
		l := &fakeLog{}
		c := start(t, l, Options{CallsMax: 3, PendingBytesMax: 3})
		c.call("add 1")
		c.call("add 2")
		c.call("add 3")
		c.expect(t, "add 3: COORDINATOR_NOT_AVAILABLE") // 2 × (key + value) ≥ 3 bytes are under way
		c.call("never")
		l.end(2, nil)
		c.expect(t, "add 1: 1", "add 2: 3")
		c.call("never")
		c.call("never")
		c.call("sum")
		c.expect(t, "sum: COORDINATOR_NOT_AVAILABLE")
	})
}
