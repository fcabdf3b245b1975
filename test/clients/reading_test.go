package clients

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/history"
)

// Of what clients complain about is passed on what is a fault of the broker.
func TestComplaints(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		wrong bool
	}{
		"lost what was read":             {&kgo.ErrDataLoss{ConsumedTo: 12, ResetTo: 9}, true},
		"lost what nobody read":          {&kgo.ErrDataLoss{ConsumedTo: 12, ResetTo: 10}, false}, // a marker lies at 10
		"an offset that is not there":    {kerr.OffsetOutOfRange, true},
		"another leader":                 {kerr.NotLeaderForPartition, false},
		"the client is being closed":     {kgo.ErrClientClosed, false},
		"a retriable error, wrapped up ": {errors.Join(kerr.NotCoordinator), false},
	} {
		said := 0
		set := &Set{Topic: "t", Rec: history.NewRecorder(), Complain: func(string, ...any) { said++ }}
		r := set.reading(1)
		if got := r.take(fetched(&kgo.Record{Topic: "t", Offset: 9, Value: encode(3, 0)}, nil)); len(got) != 1 || got[0].Offset != 9 || got[0].Value != 3 {
			t.Fatalf("%s: %v", name, got)
		}
		r.take(fetched(nil, c.err))
		if (said > 0) != c.wrong {
			t.Errorf("%s: %d complaints", name, said)
		}
	}
}

func fetched(r *kgo.Record, err error) kgo.Fetches {
	p := kgo.FetchPartition{Err: err}
	if r != nil {
		p.Records = append(p.Records, r)
	}
	return kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "t", Partitions: []kgo.FetchPartition{p}}}}}
}
