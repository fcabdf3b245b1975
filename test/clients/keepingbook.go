package clients

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// keepingBook knows what was sent to topics that are cleaned, and says what has to be there still:
//
//  1. A record that is there was sent to its partition, has the offset that was acknowledged, and what it had; offsets ascend.
//  2. Of a key in the compacted topic the newest record is there, unless that deletes the key: then nothing older is without it.
//  3. In the topic with a retention, all that is younger.
type keepingBook struct {
	mu     sync.Mutex
	number int
	all    map[spot]*kgo.Record // that were acknowledged
	newest map[spotKey]*kgo.Record
}

type spot struct {
	topic     string
	partition int32
	offset    int64
}

type spotKey struct {
	topic     string
	partition int32
	key       string
}

func newKeepingBook() *keepingBook {
	return &keepingBook{all: map[spot]*kgo.Record{}, newest: map[spotKey]*kgo.Record{}}
}

// next is a value that no other record has.
func (b *keepingBook) next() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.number++
	return strconv.AppendInt(nil, int64(b.number), 10)
}

// sent takes a record down. One after the other is sent, by one producer, which keeps their order.
func (b *keepingBook) sent(r *kgo.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest[spotKey{r.Topic, r.Partition, string(r.Key)}] = r
}

func (b *keepingBook) acknowledged(r *kgo.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all[spot{r.Topic, r.Partition, r.Offset}] = r
}

// compare judges what was read. Records of the topic with a retention are young from a time on.
func (b *keepingBook) compare(got []*kgo.Record, young time.Time) (sent, gone int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var wrong []error
	there, last, at := map[spot]bool{}, map[spotKey]*kgo.Record{}, map[spot]int64{}
	for _, r := range got {
		s := spot{r.Topic, r.Partition, r.Offset}
		was := b.all[s]
		if was == nil || string(was.Key) != string(r.Key) || string(was.Value) != string(r.Value) || (was.Value == nil) != (r.Value == nil) {
			wrong = append(wrong, fmt.Errorf("%s has %q, %q at %d of partition %d, where that was not sent", r.Topic, r.Key, r.Value, r.Offset, r.Partition))
		}
		partition := spot{topic: r.Topic, partition: r.Partition}
		if before, ok := at[partition]; ok && r.Offset <= before {
			wrong = append(wrong, fmt.Errorf("%s has %d behind %d in partition %d", r.Topic, r.Offset, before, r.Partition))
		}
		at[partition] = r.Offset
		there[s] = true
		last[spotKey{r.Topic, r.Partition, string(r.Key)}] = r
	}
	for key, r := range b.newest {
		now := last[key]
		if key.topic == NewestTopic && (now == nil && r.Value != nil || now != nil && now.Offset != r.Offset) {
			wrong = append(wrong, fmt.Errorf("the newest record of key %q, %q at %d of partition %d, is not there, but %v", key.key, r.Value, r.Offset, key.partition, told(now)))
		}
	}
	for s, r := range b.all {
		if !there[s] {
			gone++
		}
		if s.topic == YoungTopic && !there[s] && r.Timestamp.After(young) {
			wrong = append(wrong, fmt.Errorf("%s has lost %d of partition %d, %v too early", s.topic, s.offset, s.partition, r.Timestamp.Sub(young)))
		}
	}
	if n := len(wrong); n > 5 {
		wrong = append(wrong[:5], fmt.Errorf("and %d more", n-5))
	}
	return len(b.all), gone, errors.Join(wrong...)
}

func told(r *kgo.Record) string {
	if r == nil {
		return "none"
	}
	return fmt.Sprintf("%q at %d", r.Value, r.Offset)
}
