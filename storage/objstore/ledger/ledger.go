package ledger

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Names of rows that are no topic's.
const (
	NoTopic    = ""        // requests that serve no topic, or of which nobody said which
	RestTopics = "(other)" // topics beyond the bound; no topic can be called so
)

// Options set up a Ledger. The zero value works.
type Options struct {
	// TopicOf returns the name of the topic that a stream belongs to, empty if it is not known. It is called for every share of a request. Nil: no
	// request is divided.
	TopicOf func(base.StreamID) string
	// Topics is how many topics are told apart; 0: 512.
	Topics int
	// Now is the clock that rates go by; nil: time.Now.
	Now func() time.Time
	// Prices say what requests cost, for metrics; nil: [DefaultPrices].
	Prices     *Prices
	Registerer prometheus.Registerer // nil: no metrics
}

const (
	topicsMax = 512
	storesMax = 8
	marksMax  = 24 // earlier states that are kept; one a minute, two around a pause
	window    = time.Minute * 10
	unit      = 1_000_000 // a request, in millionths
)

// Ledger counts the requests of one process.
type Ledger struct {
	opt    Options
	began  time.Time
	minute atomic.Int64 // of the newest mark
	none   *topic

	mu struct {
		sync.RWMutex
		stores []*Store
		topics map[string]*topic
		marks  []mark // oldest first
	}
}

// topic is the rows of one topic: a page for every store.
type topic struct {
	name     string
	pages    [storesMax]atomic.Pointer[page]
	ingested atomic.Int64
}

type page [driver.PurposeEnd][driver.OpEnd]cell

type cell struct {
	requests, sent, received atomic.Int64 // requests in millionths
}

// mark is the state at a time.
type mark struct {
	at   time.Time
	rows []Row
	in   map[string]int64
}

// New returns a ledger in which nothing is counted yet.
func New(opt Options) *Ledger {
	if opt.Topics <= 0 {
		opt.Topics = topicsMax
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Prices == nil {
		opt.Prices = DefaultPrices()
	}
	l := &Ledger{opt: opt, began: opt.Now(), none: &topic{name: NoTopic}}
	l.minute.Store(l.began.Unix() / 60)
	l.mu.topics = map[string]*topic{NoTopic: l.none}
	l.mu.marks = []mark{{at: l.began}}
	if opt.Registerer != nil {
		opt.Registerer.MustRegister(collector{l})
	}
	return l
}

// topic returns the rows of a topic, those of the rest when there is no room for it.
func (l *Ledger) topic(name string) *topic {
	l.mu.RLock()
	t := l.mu.topics[name]
	l.mu.RUnlock()
	if t != nil {
		return t
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.topics) > l.opt.Topics && name != RestTopics {
		name = RestTopics
	}
	if t = l.mu.topics[name]; t == nil {
		t = &topic{name: name}
		l.mu.topics[name] = t
	}
	return t
}

func (t *topic) add(store int, p driver.Purpose, op driver.Op, requests, sent, received int64) {
	pg := t.pages[store].Load()
	if pg == nil {
		pg = new(page)
		if !t.pages[store].CompareAndSwap(nil, pg) {
			pg = t.pages[store].Load()
		}
	}
	c := &pg[p][op]
	c.requests.Add(requests)
	if sent > 0 {
		c.sent.Add(sent)
	}
	if received > 0 {
		c.received.Add(received)
	}
}

// share is what one topic has of a request.
type share struct {
	topic *topic
	bytes int64
}

// resolve sums up shares by topic. Streams of one topic mostly follow each other, which spares the sum for each.
func (l *Ledger) resolve(shares []driver.Share) (out []share, total int64) {
	if l.opt.TopicOf == nil || len(shares) == 0 {
		return nil, 0
	}
	at := map[*topic]int{}
	last, lastName := -1, ""
	for _, s := range shares {
		if s.Bytes <= 0 {
			continue
		}
		total += s.Bytes
		name := l.opt.TopicOf(s.Stream)
		if last < 0 || name != lastName {
			t := l.topic(name)
			i, ok := at[t]
			if !ok {
				i = len(out)
				at[t], out = i, append(out, share{topic: t})
			}
			last, lastName = i, name
		}
		out[last].bytes += s.Bytes
	}
	return out, total
}

// divide returns what of n belongs to a share of bytes out of total. 128 bits would be exact; a float is to a part in 2^52.
func divide(n, bytes, total int64) int64 {
	return int64(float64(n) * (float64(bytes) / float64(total)))
}

// turn leaves a mark when a minute has begun since the last one. Whoever counts calls it before.
func (l *Ledger) turn() {
	now := l.opt.Now()
	minute := now.Unix() / 60
	was := l.minute.Load()
	if minute <= was || !l.minute.CompareAndSwap(was, minute) {
		return
	}
	rows, in := l.rows()
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute > was+1 { // nothing happened in between: the state was this one already when the minute after the last request began
		l.mu.marks = append(l.mu.marks, mark{time.Unix((was+1)*60, 0), rows, in})
	}
	l.mu.marks = append(l.mu.marks, mark{time.Unix(minute*60, 0), rows, in})
	if n := len(l.mu.marks) - marksMax; n > 0 {
		l.mu.marks = append([]mark(nil), l.mu.marks[n:]...)
	}
}
