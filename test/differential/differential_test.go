package differential

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sluice/test/twin"
	"sluice/wire/msg"
)

const (
	sequenceMax = 12 // requests of a sequence, at most
	shrinkMax   = 60 // runs to shrink a finding
	findingsMax = 60 // kinds of differences that are looked into
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
	d := &drawer{Rand: rand.New(rand.NewPCG(seed, 4)), schemas: p.schemas}
	apis := offered(t, p)
	kinds := map[string]int{}
	for sent := 0; sent < int(requests); {
		steps := d.sequence(apis)
		sent += len(steps)
		f, err := p.sequence(steps)
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			continue
		}
		kind := f.signature()
		if kinds[kind]++; kinds[kind] == 1 && len(kinds) <= findingsMax {
			f = p.shrink(f, int(setting(t, "SLUICE_DIFFERENTIAL_SHRINK", shrinkMax)))
			t.Errorf("%s\n%s", kind, f)
		}
	}
	report(t, p, kinds)
}

func report(t *testing.T, p *pair, kinds map[string]int) {
	for _, name := range slices.Sorted(maps.Keys(p.seen)) {
		t.Logf("%6d %s", p.seen[name], name)
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
	p := &pair{targets: twin.StartBoth(t), schemas: schemas, meant: meant, seen: map[string]int{}}
	for i, target := range p.targets {
		if p.fences[i], err = newFence(target); err != nil {
			t.Fatal(err)
		}
	}
	return p
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
