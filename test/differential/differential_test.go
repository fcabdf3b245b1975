package differential

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/test/twin"
	"sluice/wire/msg"
)

const (
	sequenceMax = 12 // requests of a sequence, at most
	shrinkMax   = 60 // runs to shrink a finding
	workers     = 6  // sequences at a time
	findingsMax = 60 // kinds of differences that are looked into
)

// The short form. One sequence after the other: Kafka puts what several ask a coordinator at the same time into one request, and then it matters who else
// asks. None of its requests is one that Kafka never answers, so a wait can be long without costing anything; sequences with the API that Kafka takes half a minute for, where
// it does not know the group, are left to the long form.
const (
	shortSeed      = 41
	shortRequests  = 300
	shortWorkers   = 1
	shortAnswerMax = time.Minute
	shortWithout   = msg.KeyDescribeShareGroupOffsets
)

// setting returns a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDifferential says random requests to both brokers. It is run by `make differential`.
func TestDifferential(t *testing.T) {
	if os.Getenv("SLUICE_DIFFERENTIAL") == "" {
		t.Skip("make differential runs it")
	}
	p := start(t)
	if file := os.Getenv("SLUICE_DIFFERENTIAL_REPLAY"); file != "" {
		replay(t, p, file)
		return
	}
	seed, requests := setting(t, "SLUICE_DIFFERENTIAL_SEED", 1), setting(t, "SLUICE_DIFFERENTIAL_REQUESTS", 2000)
	kinds := explore(t, p, sequences(t, p, seed), int(requests), int(setting(t, "SLUICE_DIFFERENTIAL_WORKERS", workers)))
	report(t, p, kinds)
}

// TestSomeRequests is the short form, always the same. `make test` runs it.
func TestSomeRequests(t *testing.T) {
	p := start(t)
	p.answerMax = shortAnswerMax
	draw := sequences(t, p, shortSeed)
	report(t, p, explore(t, p, func() []step {
		steps := draw()
		for slices.ContainsFunc(steps, func(st step) bool { return st.Key == shortWithout }) {
			steps = draw()
		}
		return steps
	}, shortRequests, shortWorkers))
	compared := 0
	for _, n := range p.mu.seen {
		compared += n
	}
	if compared < shortRequests*9/10 {
		t.Errorf("%d answers were compared of %d: what comes behind a difference that is meant is not", compared, shortRequests)
	}
}

// sequences draws what a seed gives.
func sequences(t *testing.T, p *pair, seed uint64) func() []step {
	d := &drawer{Rand: rand.New(rand.NewPCG(seed, 4)), schemas: p.schemas}
	apis := offered(t, p)
	return func() []step { return d.sequence(apis) }
}

// explore takes sequences, several at a time, and shrinks what is new.
func explore(t *testing.T, p *pair, next func() []step, requests, workers int) map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	kinds, shrinks := map[string]int{}, int(setting(t, "SLUICE_DIFFERENTIAL_SHRINK", shrinkMax))
	draw := func() []step {
		mu.Lock()
		defer mu.Unlock()
		if requests <= 0 {
			return nil
		}
		steps := next()
		requests -= len(steps)
		return steps
	}
	first := func(kind string) bool {
		mu.Lock()
		defer mu.Unlock()
		kinds[kind]++
		return kinds[kind] == 1 && len(kinds) <= findingsMax
	}
	for range workers {
		wg.Go(func() {
			for steps := draw(); steps != nil; steps = draw() {
				f, err := p.sequence(steps)
				if err != nil {
					t.Error(err)
					return
				}
				if f == nil {
					continue
				}
				if kind := f.signature(); first(kind) {
					t.Errorf("%s\n%s", kind, p.shrink(f, shrinks))
				}
			}
		})
	}
	wg.Wait()
	return kinds
}

func report(t *testing.T, p *pair, kinds map[string]int) {
	for _, name := range slices.Sorted(maps.Keys(p.mu.seen)) {
		t.Logf("%6d %s", p.mu.seen[name], name)
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Logf("%6d times: %s", kinds[kind], kind)
	}
	for _, e := range p.meant {
		t.Logf("%6d times, meant: %s", e.seen, e.why)
	}
}

func replay(t *testing.T, p *pair, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := decodeSteps(text)
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.sequence(steps)
	if err != nil {
		t.Fatal(err)
	}
	if f != nil {
		t.Errorf("%s\n%s", f.signature(), f)
	}
}

func start(t *testing.T) *pair {
	schemas, err := loadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	meant, err := loadDifferences("differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	var both [2]*twin.Target
	if kafka := os.Getenv("SLUICE_DIFFERENTIAL_KAFKA"); kafka != "" {
		both = twin.Join(t, kafka)
	} else {
		both = twin.StartBoth(t)
	}
	p := &pair{targets: both, schemas: schemas, meant: meant, answerMax: answerMax}
	p.mu.runs = int(time.Now().Unix()%1_000_000) * 10_000 // a Kafka that was there before has names of earlier runs
	p.mu.seen = map[string]int{}
	for _, target := range p.targets {
		if err := warm(target); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// warm makes the broker open its coordinators' topics.
func warm(target *twin.Target) error {
	c, err := twin.Dial(target.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	id := "d0-warm"
	for deadline := time.Now().Add(twin.StartMax); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for kind := range int8(3) { // who looks for a coordinator makes its topic
			if _, err := c.Ask(6, &msg.FindCoordinatorRequest{KeyType: kind, CoordinatorKeys: []string{"g:AAAAAAAAAAAAAAAAAAAAAQ:0"}}); err != nil {
				return err
			}
		}
		answer, err := c.Ask(4, &msg.InitProducerIdRequest{TransactionalId: &id, TransactionTimeoutMs: 60_000, ProducerId: -1, ProducerEpoch: -1})
		if err != nil {
			return err
		}
		list, err := c.Ask(1, &msg.ListTransactionsRequest{DurationFilter: -1})
		if err != nil {
			return err
		}
		if answer.(*msg.InitProducerIdResponse).ErrorCode == 0 && list.(*msg.ListTransactionsResponse).ErrorCode == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s: no producer id", target.Name)
}

// offered returns what both brokers offer, of the keys that are asked for.
func offered(t *testing.T, p *pair) []msg.API {
	ranges := [2]map[int16]msg.API{{}, {}}
	for i, target := range p.targets {
		c, err := twin.Dial(target.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		answer, err := c.Ask(0, &msg.ApiVersionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answer.(*msg.ApiVersionsResponse).ApiKeys {
			ranges[i][a.ApiKey] = msg.API{Key: a.ApiKey, Min: a.MinVersion, Max: a.MaxVersion}
		}
	}
	only := strings.FieldsFunc(os.Getenv("SLUICE_DIFFERENTIAL_KEYS"), func(r rune) bool { return r == ',' || r == ' ' })
	var both []msg.API
	for _, key := range slices.Sorted(maps.Keys(ranges[0])) {
		row, ok := ranges[1][key]
		if !ok || len(only) > 0 && !slices.Contains(only, msg.Name(key)) {
			continue
		}
		if row != ranges[0][key] {
			t.Logf("%s: Kafka offers %v, Sluice %v", msg.Name(key), ranges[0][key], row)
		}
		both = append(both, row)
	}
	if len(both) == 0 {
		t.Fatal(fmt.Sprint("neither key is there: ", only))
	}
	return both
}

// sequence draws steps.
func (d *drawer) sequence(apis []msg.API) (steps []step) {
	for range 1 + d.IntN(sequenceMax) {
		a := one(d, apis...)
		version := a.Min + int16(d.IntN(int(a.Max-a.Min)+1))
		if d.chance(0.02) {
			version = one(d, a.Min-1, a.Max+1, a.Max+2, -1, 100)
		}
		steps = append(steps, d.step(a.Key, version))
	}
	return steps
}
