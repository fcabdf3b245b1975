package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"sluice/storage/objstore/driver"
)

// Row is the requests of one kind that one store got for one purpose and one topic. A request that served several topics is a fraction of one in
// each of their rows.
type Row struct {
	Store    string  `json:"store"`
	Topic    string  `json:"topic,omitempty"`
	Purpose  string  `json:"purpose"`
	Kind     string  `json:"kind"`
	Requests float64 `json:"requests"`
	Sent     int64   `json:"sent_bytes"`
	Received int64   `json:"received_bytes"`
}

type rowKey struct{ store, topic, purpose, kind string }

func (r *Row) key() rowKey { return rowKey{r.Store, r.Topic, r.Purpose, r.Kind} }

func (r *Row) add(o Row, sign int64) {
	r.Requests += float64(sign) * o.Requests
	r.Sent += sign * o.Sent
	r.Received += sign * o.Received
}

// Period is what was counted in some time.
type Period struct {
	Seconds  float64          `json:"seconds"`
	Rows     []Row            `json:"rows"`           // those that are not 0, ascending by store, topic, purpose and kind
	Ingested map[string]int64 `json:"ingested_bytes"` // record bytes that were brought to the bucket, by topic
}

// Report is what the ledger of one process holds.
type Report struct {
	Node   string            `json:"node,omitempty"` // whose; the ledger does not know
	Stores map[string]string `json:"stores"`         // URLs without credentials, by name
	Total  Period            `json:"total"`          // since the process started
	Recent Period            `json:"recent"`         // the last ten minutes, or less if it has not run so long
}

// Report returns what is counted by now.
func (l *Ledger) Report() Report {
	l.turn()
	now := l.opt.Now()
	rows, in := l.rows()
	l.mu.RLock()
	defer l.mu.RUnlock()
	r := Report{Stores: map[string]string{}, Total: Period{now.Sub(l.began).Seconds(), rows, in}}
	for _, s := range l.mu.stores {
		r.Stores[s.name] = s.String()
	}
	from := l.mu.marks[0]
	for _, m := range l.mu.marks {
		if m.at.After(now.Add(-window)) {
			break
		}
		from = m
	}
	r.Recent = Period{now.Sub(from.at).Seconds(), subtract(rows, from.rows), map[string]int64{}}
	if from.at.Before(now.Add(-window - time.Minute)) { // nothing happened since: the state was the same a window ago
		r.Recent.Seconds = window.Seconds()
	}
	for topic, n := range in {
		if n -= from.in[topic]; n > 0 {
			r.Recent.Ingested[topic] = n
		}
	}
	return r
}

// rows returns the rows that are not 0, in order, and the ingested bytes.
func (l *Ledger) rows() ([]Row, map[string]int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []Row
	in := map[string]int64{}
	for _, name := range slices.Sorted(maps.Keys(l.mu.topics)) {
		t := l.mu.topics[name]
		if n := t.ingested.Load(); n > 0 {
			in[name] = n
		}
		for _, s := range l.mu.stores {
			pg := t.pages[s.index].Load()
			if pg == nil {
				continue
			}
			for p := range driver.PurposeEnd {
				for op := range driver.OpEnd {
					c := &pg[p][op]
					r := Row{s.name, name, p.String(), op.String(), float64(c.requests.Load()) / unit, c.sent.Load(), c.received.Load()}
					if r.Requests != 0 || r.Sent != 0 || r.Received != 0 {
						out = append(out, r)
					}
				}
			}
		}
	}
	order(out)
	return out, in
}

func order(rows []Row) {
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Store, b.Store), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Kind, b.Kind))
	})
}

// subtract returns the rows of now less those of before.
func subtract(now, before []Row) []Row {
	was := make(map[rowKey]Row, len(before))
	for _, r := range before {
		was[r.key()] = r
	}
	out := make([]Row, 0, len(now))
	for _, r := range now {
		r.add(was[r.key()], -1)
		if r.Requests > 1e-9 || r.Sent != 0 || r.Received != 0 {
			out = append(out, r)
		}
	}
	return out
}

// Since returns what was counted in p and not yet in an earlier period of the same ledger.
func (p Period) Since(o Period) Period {
	out := Period{Seconds: p.Seconds - o.Seconds, Rows: subtract(p.Rows, o.Rows), Ingested: map[string]int64{}}
	for topic, n := range p.Ingested {
		if n -= o.Ingested[topic]; n > 0 {
			out.Ingested[topic] = n
		}
	}
	return out
}

// Merge sums up periods of several processes. Its seconds are those of the longest.
func Merge(periods ...Period) Period {
	sums := map[rowKey]*Row{}
	all := Period{Ingested: map[string]int64{}}
	for _, p := range periods {
		all.Seconds = max(all.Seconds, p.Seconds)
		for _, r := range p.Rows {
			if s := sums[r.key()]; s != nil {
				s.add(r, 1)
			} else {
				sums[r.key()] = &r
			}
		}
		for topic, n := range p.Ingested {
			all.Ingested[topic] += n
		}
	}
	for _, s := range sums {
		all.Rows = append(all.Rows, *s)
	}
	order(all.Rows)
	return all
}
