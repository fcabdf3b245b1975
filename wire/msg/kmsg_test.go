package msg

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/wire/kbin"
)

// FuzzAgainstKmsg: what we decode and write again an independent codec reads, and writes as the same bytes. It is given our bytes only: some of those that
// a client may send keep it busy for seconds.
func FuzzAgainstKmsg(f *testing.F) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, s := range schemas() {
		for i, m := range []Message{s.request(), s.response()} {
			fill(reflect.ValueOf(m).Elem(), rng)
			f.Add(m.APIKey(), s.max, i == 1, m.Append(nil, s.max))
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, response bool, in []byte) {
		s, ok := schemaOf[key]
		if !ok || version < s.min || version > s.max || len(in) > 4<<10 {
			return
		}
		m, theirs := s.request(), oracle(nil)
		if req := kmsg.RequestForKey(key); !response && req != nil && version <= req.MaxVersion() {
			theirs = req.(oracle)
		}
		if res := kmsg.ResponseForKey(key); response && res != nil && version <= res.MaxVersion() {
			m, theirs = s.response(), res.(oracle)
		}
		r := kbin.NewReader(in)
		if m.Decode(&r, version); theirs == nil || r.Err() != nil {
			return
		}
		ours := m.Append(nil, version)
		theirs.SetVersion(version)
		if err := theirs.ReadFrom(bytes.Clone(ours)); err != nil {
			t.Fatalf("%s v%d: the other codec cannot read %x: %v", s.name, version, ours, err)
		}
		if again := theirs.AppendTo(nil); !bytes.Equal(ours, again) {
			t.Fatalf("%s v%d: wrote\n%x, the other codec\n%x", s.name, version, ours, again)
		}
	})
}
