package msg

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"sluice/wire/kbin"
)

// allocatedPerByteMax bounds what a request may make its decoder allocate, as a multiple of its own size. The elements of an array
// are at most so much larger than their smallest encoding, and arrays nest.
const allocatedPerByteMax = 24

// schemas returns all APIs in key order, so that what a seed draws is the same in every run.
func schemas() (all []schema) {
	for _, key := range slices.Sorted(maps.Keys(schemaOf)) {
		all = append(all, schemaOf[key])
	}
	return all
}

// TestHostileCounts: a message that claims as many elements as its size could hold, at any place, costs memory in proportion to its
// size. Zeros fill the rest, so that empty elements parse and nested arrays are tried as well.
func TestHostileCounts(t *testing.T) {
	const filler = 16 << 10
	rng := rand.New(rand.NewPCG(9, 10))
	worst, worstName := 0.0, ""
	for _, s := range schemas() {
		for _, version := range []int16{s.min, s.max} {
			m := s.request()
			fill(reflect.ValueOf(m).Elem(), rng)
			whole := m.Append(nil, version)
			for cut := range min(len(whole), 24) {
				for _, compact := range []bool{false, true} {
					in := kbin.AppendArrayLen(bytes.Clone(whole[:cut]), compact, filler)
					in = append(in, make([]byte, filler)...)
					if ratio := allocated(func() { decodeHostile(s.request(), in, version) }) / float64(len(in)); ratio > worst {
						worst, worstName = ratio, fmt.Sprintf("%s v%d, array at byte %d", s.name, version, cut)
					}
				}
			}
		}
	}
	t.Logf("worst: %.1f bytes allocated per byte received (%s)", worst, worstName)
	if worst > allocatedPerByteMax {
		t.Errorf("%s: %.1f bytes allocated per byte received, at most %d", worstName, worst, allocatedPerByteMax)
	}
}

func decodeHostile(m Message, in []byte, version int16) {
	r := kbin.NewReader(in)
	m.Decode(&r, version)
}

func allocated(fn func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// TestKnownTraps: short bodies that made another library's decoders run for seconds.
func TestKnownTraps(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for _, s := range schemas() {
		for version := s.min; version <= s.max; version++ {
			for lead := range 8 {
				in := append(make([]byte, lead), huge...)
				for _, tail := range [][]byte{nil, {0}, {1, 2, 3}, huge} {
					for _, m := range []Message{s.request(), s.response()} {
						if got := testing.AllocsPerRun(1, func() { decodeHostile(m, append(in, tail...), version) }); got > 100 {
							t.Errorf("%s v%d: %v allocations for %d bytes", s.name, version, got, len(in)+len(tail))
						}
					}
				}
			}
		}
	}
}

// FuzzStable: a message that decodes is encoded as something that decodes to the same encoding, whole.
func FuzzStable(f *testing.F) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, s := range schemas() {
		key := s.request().APIKey()
		for _, version := range []int16{s.min, s.max} {
			for i, m := range []Message{s.request(), s.response()} {
				fill(reflect.ValueOf(m).Elem(), rng)
				f.Add(key, version, i == 1, m.Append(nil, version))
			}
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, response bool, in []byte) {
		s, ok := schemaOf[key]
		if !ok || version < s.min || version > s.max {
			return
		}
		fresh := s.request
		if response {
			fresh = s.response
		}
		m := fresh()
		r := kbin.NewReader(in)
		if m.Decode(&r, version); r.Err() != nil {
			return
		}
		once := m.Append(nil, version)
		again := fresh()
		r = kbin.NewReader(once)
		if again.Decode(&r, version); r.Err() != nil || r.Len() != 0 {
			t.Fatalf("own encoding %x: %v, %d left", once, r.Err(), r.Len())
		}
		if twice := again.Append(nil, version); !bytes.Equal(once, twice) {
			t.Fatalf("%x became %x", once, twice)
		}
	})
}
