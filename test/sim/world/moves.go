package world

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/clients"
)

// movePartitions has an operator move partitions to and fro, those of the coordinators too, until ctx ends. That a broker is away or refuses is
// no news.
func (w *world) movePartitions(ctx context.Context) {
	rnd := w.source("moves", 0)
	client, err := kgo.NewClient(w.set.Options(kgo.RetryTimeout(5 * time.Second))...)
	if err != nil {
		panic("BUG: sim: " + err.Error())
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	for ctx.Err() == nil {
		select {
		case <-time.After(time.Duration(rnd.Int64N(int64(w.slowly(3 * time.Second))))):
		case <-ctx.Done():
			return
		}
		w.moveOne(ctx, adm, rnd)
	}
}

func (w *world) moveOne(ctx context.Context, adm *kadm.Client, rnd *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	topic := pickOf(rnd, w.set.Topic, w.set.Topic, "__consumer_offsets", "__transaction_state", clients.CopiesTopic, clients.AccountsTopic, clients.NewestTopic, clients.YoungTopic)
	m, err := adm.Metadata(ctx, topic)
	if err != nil || len(m.Topics[topic].Partitions) == 0 || len(m.Brokers) == 0 {
		return
	}
	to, index := m.Brokers[rnd.IntN(len(m.Brokers))].NodeID, int32(rnd.IntN(len(m.Topics[topic].Partitions)))
	var req kadm.AlterPartitionAssignmentsReq
	req.Assign(topic, index, []int32{to})
	_, err = adm.AlterPartitionAssignments(ctx, req)
	w.trace.Event("clients move %s-%d to node %d: %v", topic, index, to, err)
	if err == nil {
		w.rec.Fault("move")
	}
}
