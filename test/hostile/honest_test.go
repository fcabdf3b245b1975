package hostile

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/wire/msg"
)

// The topics: the honest clients', and one that is large and read by slow readers.
const (
	honestTopic = "honest"
	largeTopic  = "large"
	compacted   = "compacted"
)

// patience is how long an honest operation may take, whatever happens: clients have their own time-outs, of 30 s and above.
const patience = 3 * time.Minute

// kinds of work that honest clients do.
const (
	kindProduce = "produce"
	kindConsume = "consume"
	kindNew     = "connect"
	kindLogin   = "login"
)

var kinds = []string{kindProduce, kindConsume, kindNew, kindLogin}

// honest are the clients that must not suffer. Every kind of work has one goroutine, which ends with the context.
type honest struct {
	v *victim

	mu struct {
		sync.Mutex
		took  map[string][]time.Duration // since reset
		wrong []error
	}
	more chan struct{} // something was done
	stop func()        // ends them, while the broker still answers
}

func startHonest(ctx context.Context, t *testing.T, v *victim) *honest {
	h := &honest{v: v, more: make(chan struct{}, 1)}
	h.reset()
	client, err := kgo.NewClient(kgo.SeedBrokers(v.plain), kgo.DefaultProduceTopic(honestTopic), kgo.ConsumeTopics(honestTopic),
		kgo.RecordDeliveryTimeout(patience), kgo.ProducerLinger(0), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, work := range []func(context.Context, *kgo.Client){h.produce, h.consume, h.connect, h.logIn} {
		running.Go(func() { work(ctx, client) })
	}
	h.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		client.Close()
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, err := range h.mu.wrong {
			t.Errorf("an honest client: %v", err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

// done notes an operation; one that failed while nobody wanted it to end is wrong.
func (h *honest) done(ctx context.Context, kind string, start time.Time, err error) {
	if ctx.Err() != nil {
		return
	}
	h.mu.Lock()
	if err != nil {
		h.mu.wrong = append(h.mu.wrong, fmt.Errorf("%s, after %v: %w", kind, time.Since(start), err))
	} else {
		h.mu.took[kind] = append(h.mu.took[kind], time.Since(start))
	}
	h.mu.Unlock()
	select {
	case h.more <- struct{}{}:
	default:
	}
}

func (h *honest) produce(ctx context.Context, c *kgo.Client) {
	for n := uint64(0); ctx.Err() == nil; n++ {
		start := time.Now()
		value := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n), uint64(start.UnixNano()))
		err := c.ProduceSync(ctx, &kgo.Record{Value: append(value, make([]byte, 1000)...)}).FirstErr()
		h.done(ctx, kindProduce, start, err)
	}
}

// consume reads what is produced, in order; an operation is the way of a record from before it was produced.
func (h *honest) consume(ctx context.Context, c *kgo.Client) {
	next := uint64(0)
	for ctx.Err() == nil {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var err error
			n := binary.BigEndian.Uint64(r.Value)
			if n != next {
				err = fmt.Errorf("record %d where %d was expected", n, next)
			}
			next = n + 1
			h.done(ctx, kindConsume, time.Unix(0, int64(binary.BigEndian.Uint64(r.Value[8:]))), err)
		})
	}
}

// every is how long the clients that come anew pause, so that they are no storm of their own.
const every = 20 * time.Millisecond

func (h *honest) connect(ctx context.Context, _ *kgo.Client) {
	for pause := time.NewTicker(every); ctx.Err() == nil; <-pause.C {
		start := time.Now()
		h.done(ctx, kindNew, start, h.askForTopic(ctx))
	}
}

func (h *honest) askForTopic(ctx context.Context) error {
	nc, err := dial(ctx, "127.0.0.1", h.v.plain)
	if err != nil {
		return err
	}
	defer nc.Close()
	topic := honestTopic
	var resp msg.MetadataResponse
	if err := ask(nc, 9, &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{{Name: &topic}}}, &resp); err != nil {
		return err
	}
	if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 || len(resp.Topics[0].Partitions) == 0 {
		return fmt.Errorf("metadata: %+v", resp.Topics)
	}
	return nil
}

func (h *honest) logIn(ctx context.Context, _ *kgo.Client) {
	for pause := time.NewTicker(every); ctx.Err() == nil; <-pause.C {
		start := time.Now()
		nc, err := dial(ctx, "127.0.0.1", h.v.login)
		if err == nil {
			err = loginPlain(nc, "honest", "client")
			nc.Close()
		}
		h.done(ctx, kindLogin, start, err)
	}
}

func loginPlain(nc net.Conn, name, password string) error {
	var hello msg.SaslHandshakeResponse
	if err := ask(nc, 1, &msg.SaslHandshakeRequest{Mechanism: "PLAIN"}, &hello); err != nil || hello.ErrorCode != 0 {
		return fmt.Errorf("handshake: %w, code %d", err, hello.ErrorCode)
	}
	var in msg.SaslAuthenticateResponse
	if err := ask(nc, 2, &msg.SaslAuthenticateRequest{AuthBytes: []byte("\x00" + name + "\x00" + password)}, &in); err != nil || in.ErrorCode != 0 {
		return fmt.Errorf("login: %w, code %d", err, in.ErrorCode)
	}
	return nil
}

// reset begins a new count.
func (h *honest) reset() {
	h.mu.Lock()
	h.mu.took = map[string][]time.Duration{}
	h.mu.Unlock()
}

// await waits until every kind of work was done n times since reset, and reports false with what is missing if that takes too long.
func (h *honest) await(ctx context.Context, n int) (missing string, ok bool) {
	for {
		missing = ""
		h.mu.Lock()
		for _, k := range kinds {
			if len(h.mu.took[k]) < n {
				missing += fmt.Sprintf(" %s %d of %d;", k, len(h.mu.took[k]), n)
			}
		}
		h.mu.Unlock()
		if missing == "" {
			return "", true
		}
		select {
		case <-h.more:
		case <-ctx.Done():
			return missing, false
		}
	}
}

// report is a line of the table: median, 99th percentile and count of each kind.
func (h *honest) report() (line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range kinds {
		took := slices.Sorted(slices.Values(h.mu.took[k]))
		if len(took) == 0 {
			line += " - |"
			continue
		}
		at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
		line += fmt.Sprintf(" %.1f, %.0f (%d) |", at(0.5), at(0.99), len(took))
	}
	return line
}
