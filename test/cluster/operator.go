package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/edge/admin"
	"sluice/test/clients"
)

// moves has an operator move partitions to and fro, one or some at a time, through any broker, for as long as the clients run. That a
// broker is away or refuses is no news.
func (w *world) moves() {
	rnd := rand.New(rand.NewPCG(w.seed, 3))
	w.readers = append(w.readers, clients.Go(func(ctx context.Context) {
		var moved time.Time // coordinators
		for ctx.Err() == nil && !w.still.Load() {
			from := w.Topic
			if n := rnd.IntN(8); n < len(others) && time.Since(moved) >= w.rarely {
				from, moved = others[n], time.Now()
			}
			w.calm.Lock()
			if w.move(w.nodes[rnd.IntN(len(w.nodes))], from, rnd) == nil {
				w.rec.Fault("move")
			}
			w.calm.Unlock()
			select {
			case <-time.After(100*time.Millisecond + time.Duration(rnd.IntN(400))*time.Millisecond):
			case <-ctx.Done():
			}
		}
	}))
}

// others are topics whose partitions are moved beside those of the topic that is written to, where there are such topics.
var others = []string{"__consumer_offsets", "__transaction_state", clients.CopiesTopic}

// move asks one broker for one move of partitions of a topic.
func (w *world) move(at *node, topic string, rnd *rand.Rand) error {
	v, err := at.describe()
	if err != nil {
		return err
	}
	req := admin.MoveRequest{Topic: topic, To: v.Nodes[rnd.IntN(len(v.Nodes))].ID}
	for range 1 + rnd.IntN(3) {
		req.Partitions = append(req.Partitions, int32(rnd.IntN(6)))
	}
	var answer admin.MoveAnswer
	if err := at.ask(http.MethodPost, "/v1/partitions/move", req, &answer); err != nil {
		return err
	}
	for _, p := range answer.Partitions {
		if p.Error != "" {
			return fmt.Errorf("partition %d: %s", p.Partition, p.Error)
		}
	}
	return nil
}

// transfer asks a broker to have the controller moved to another one. It may be refused.
func (w *world) transfer(at *node) error {
	err := at.ask(http.MethodPost, "/v1/controller/transfer", admin.TransferRequest{}, nil)
	if err == nil {
		w.rec.Fault("transfer")
	}
	return err
}

// topics are the topics whose creation was acknowledged: the metadata that must not get lost.
type topics struct {
	mu    sync.Mutex
	acked []string
}

// makeTopics creates topics, one after the other.
func (w *world) makeTopics() *clients.Reader {
	return clients.Go(func(ctx context.Context) {
		client, err := kgo.NewClient(w.Options()...)
		if err != nil {
			w.complainf("a client: %v", err)
			return
		}
		defer client.Close()
		for n := 0; ctx.Err() == nil; n++ {
			name := fmt.Sprintf("made-%d", n)
			once, cancel := context.WithTimeout(ctx, 10*time.Second)
			res, err := kadm.NewClient(client).CreateTopic(once, 1, 1, nil, name)
			cancel()
			if err == nil && res.Err == nil {
				w.topics.mu.Lock()
				w.topics.acked = append(w.topics.acked, name)
				w.topics.mu.Unlock()
			}
			select {
			case <-time.After(400 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
}

// checkTopics asks every broker for the topics whose creation was acknowledged.
func (w *world) checkTopics() {
	w.t.Helper()
	w.topics.mu.Lock()
	defer w.topics.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	for _, n := range w.in(up) {
		client, err := kgo.NewClient(append(w.Options(), kgo.SeedBrokers(n.Addr))...)
		if err != nil {
			w.t.Fatal(err)
		}
		details, err := kadm.NewClient(client).ListTopics(ctx)
		client.Close()
		if err != nil {
			w.t.Errorf("list the topics at %s: %v", n.name, err)
			continue
		}
		missing := 0
		for _, name := range w.topics.acked {
			if !details.Has(name) {
				missing++
			}
		}
		if missing > 0 {
			w.t.Errorf("%s does not know %d of %d topics whose creation was acknowledged", n.name, missing, len(w.topics.acked))
		}
	}
	w.t.Logf("%d topics were created meanwhile", len(w.topics.acked))
}
