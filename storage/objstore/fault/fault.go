package fault

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Op is a set of operations.
type Op uint8

// The operations.
const (
	Put Op = 1 << iota
	Get
	Stat
	List
	Delete
	Any Op = Put | Get | Stat | List | Delete
)

// Effect is what happens to a request.
type Effect uint8

const (
	// Nothing lets the request through; use it to keep later rules from matching.
	Nothing Effect = iota
	// Refuse fails the request with the rule's Kind (default Unavailable) before anything happened.
	Refuse
	// LoseAnswer does the request and fails it: puts with kind Undetermined, others with Unavailable.
	LoseAnswer
	// Late fails a put with kind Undetermined and keeps it until Deliver, when it happens after all. Other operations are refused.
	Late
	// Hang waits until the request's context ends, then fails as LoseAnswer does, without doing the request.
	Hang
)

// Rule says what happens to matching requests.
type Rule struct {
	Name   string // for Fired
	Op     Op     // 0: any
	Prefix string // of the key; empty: any
	Match  func(key string) bool
	// Prob is the probability that a matching request is hit; 0 means always.
	Prob float64
	// Skip lets that many matching requests pass first.
	Skip int
	// Times is how many requests are hit before the rule runs out; 0: no limit.
	Times  int
	Effect Effect
	Kind   base.Kind     // of Refuse; Unknown means Unavailable
	Delay  time.Duration // waits first, for every effect
	// Before, if not nil, is called for every request that the rule hits, before the effect.
	Before func(op Op, key string)
}

// Store wraps a store.
type Store struct {
	inner driver.Store

	mu struct {
		sync.Mutex
		rng   *rand.Rand
		rules []*rule
		fired map[string]int
		late  []latePut
	}
}

type rule struct {
	Rule
	seen, hit int
}

type latePut struct {
	key  string
	body []byte
	opt  driver.PutOptions
}

var _ driver.Store = (*Store)(nil)

// New returns a store that behaves until it has rules.
func New(inner driver.Store, seed uint64, rules ...Rule) *Store {
	s := &Store{inner: inner}
	s.mu.rng = rand.New(rand.NewPCG(seed, 0x5107))
	s.mu.fired = map[string]int{}
	s.SetRules(rules...)
	return s
}

// SetRules replaces the rules; none means that the store behaves. Late puts stay.
func (s *Store) SetRules(rules ...Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.rules = nil
	for _, r := range rules {
		if r.Op == 0 {
			r.Op = Any
		}
		if r.Kind == base.Unknown {
			r.Kind = base.Unavailable
		}
		s.mu.rules = append(s.mu.rules, &rule{Rule: r})
	}
}

// Outage is the rules of a store that answers 503 to everything.
func Outage() Rule { return Rule{Name: "outage", Effect: Refuse, Kind: base.Unavailable} }

// Fired returns how many requests the rules of that name have hit.
func (s *Store) Fired(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.fired[name]
}

// Pending returns the number of late puts that have not happened.
func (s *Store) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.late)
}

// Deliver makes up to n late puts happen, in an order drawn from the seed, and returns how many it tried. Their outcome, which
// nobody waits for, does not matter.
func (s *Store) Deliver(ctx context.Context, n int) int {
	for i := range n {
		p, ok := s.takeLate()
		if !ok {
			return i
		}
		_ = s.inner.Put(ctx, p.key, [][]byte{p.body}, p.opt)
	}
	return n
}

func (s *Store) takeLate() (latePut, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.mu.late) - 1
	if last < 0 {
		return latePut{}, false
	}
	i := s.mu.rng.IntN(last + 1)
	p := s.mu.late[i]
	s.mu.late[i] = s.mu.late[last]
	s.mu.late = s.mu.late[:last]
	return p, true
}

// decide returns the rule that hits the request, if any.
func (s *Store) decide(op Op, key string) (Rule, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.mu.rules {
		if r.Op&op == 0 || !strings.HasPrefix(key, r.Prefix) || r.Match != nil && !r.Match(key) || r.Times > 0 && r.hit >= r.Times {
			continue
		}
		if r.seen++; r.seen <= r.Skip {
			continue
		}
		if r.Prob > 0 && s.mu.rng.Float64() >= r.Prob {
			continue
		}
		r.hit++
		s.mu.fired[r.Name]++
		return r.Rule, true
	}
	return Rule{}, false
}

// run does the request do under the rules. lost is the kind of a lost answer; late, if not nil, keeps the request for later.
func (s *Store) run(ctx context.Context, op Op, key string, lost base.Kind, do func() error, late func()) error {
	if err := ctx.Err(); err != nil {
		return base.Wrap(base.Unavailable, err)
	}
	r, hit := s.decide(op, key)
	if !hit {
		return do()
	}
	if r.Before != nil {
		r.Before(op, key)
	}
	if err := delay(ctx, r.Delay); err != nil {
		return err
	}
	switch r.Effect {
	case Refuse:
		return s.fail(r, r.Kind, key)
	case LoseAnswer:
		_ = do()
		return s.fail(r, lost, key)
	case Late:
		if late != nil {
			late()
		}
		return s.fail(r, lost, key)
	case Hang:
		<-ctx.Done()
		return base.Errorf(lost, "%s: fault %q: %w", key, r.Name, ctx.Err())
	default:
		return do()
	}
}

func (s *Store) fail(r Rule, kind base.Kind, key string) error {
	return base.Errorf(kind, "%s: fault %q", key, r.Name)
}

func delay(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	}
}

// Unwrap returns the store inside.
func (s *Store) Unwrap() driver.Store { return s.inner }

func (s *Store) String() string { return s.inner.String() }

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	return s.run(ctx, Put, key, base.Undetermined, func() error {
		return s.inner.Put(ctx, key, body, opt)
	}, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.late = append(s.mu.late, latePut{key, bytes.Join(body, nil), opt})
	})
}

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	out := dst
	err := s.run(ctx, Get, key, base.Unavailable, func() (err error) {
		out, err = s.inner.Get(ctx, key, off, n, dst)
		return err
	}, nil)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Stat implements driver.Store.
func (s *Store) Stat(ctx context.Context, key string) (driver.Info, error) {
	var info driver.Info
	err := s.run(ctx, Stat, key, base.Unavailable, func() (err error) {
		info, err = s.inner.Stat(ctx, key)
		return err
	}, nil)
	return info, err
}

// List implements driver.Store. A fault hits before every thousandth object, as it would a page.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		n := 0
		page := func() error { return s.run(ctx, List, prefix, base.Unavailable, func() error { return nil }, nil) }
		if err := page(); err != nil {
			yield(driver.Info{}, err)
			return
		}
		for info, err := range s.inner.List(ctx, prefix, after) {
			if n++; err == nil && n%1000 == 0 {
				err = page()
			}
			if err != nil {
				yield(driver.Info{}, fmt.Errorf("list: %w", err))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	key := ""
	if len(keys) > 0 {
		key = keys[0]
	}
	return s.run(ctx, Delete, key, base.Unavailable, func() error { return s.inner.Delete(ctx, keys...) }, nil)
}
