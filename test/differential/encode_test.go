package differential

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"sluice/test/twin"
	"sluice/wire/kbin"
	"sluice/wire/msg"
)

// TestRequestsAreOfTheSchema: what is drawn without oddities is read by wire/msg to the last byte, and written by it as the same bytes, for every
// API and version; and a step survives being written as a line.
func TestRequestsAreOfTheSchema(t *testing.T) {
	schemas, err := loadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	e := env{"d1-", twin.NewNames(1)}
	d := &drawer{Rand: rand.New(rand.NewPCG(1, 1)), schemas: schemas}
	whole := 0
	for _, api := range msg.APIs {
		for v := api.Min; v <= api.Max; v++ {
			for range 20 {
				st := d.step(api.Key, v)
				again, err := decodeSteps([]byte(encodeStep(st)))
				if err != nil || len(again) != 1 {
					t.Fatalf("%s: %v", encodeStep(st), err)
				}
				body := encode(schemas[api.Key], v, again[0].Body, e)
				if !bytes.Equal(body, encode(schemas[api.Key], v, st.Body, e)) {
					t.Fatalf("another request after it was written: %s", encodeStep(st))
				}
				if d.odd == 0 && roundTrip(t, api.Key, v, body, st) {
					whole++
				}
			}
		}
	}
	if whole < 1000 {
		t.Errorf("only %d requests without oddities", whole)
	}
}

// roundTrip reads and writes a body.
func roundTrip(t *testing.T, key, v int16, body []byte, st step) bool {
	t.Helper()
	m := msg.NewRequest(key)
	r := kbin.NewReader(body)
	m.Decode(&r, v)
	if r.Err() != nil || r.Len() != 0 {
		t.Fatalf("%s: %v, %d bytes left", encodeStep(st), r.Err(), r.Len())
	}
	if written := m.Append(nil, v); !bytes.Equal(written, body) {
		// A tagged field with its default is left out by one and written by the other.
		again := msg.NewRequest(key)
		r := kbin.NewReader(written)
		again.Decode(&r, v)
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("%s:\n%x\nbecomes\n%x", encodeStep(st), body, written)
		}
	}
	return true
}

// TestSmaller: every candidate has one thing less, so that shrinking ends.
func TestSmaller(t *testing.T) {
	var v tree
	if err := json.Unmarshal([]byte(`{"A":[{"B":1,"C":{"$":"epoch","plus":1}},{"B":2}],"D":"x"}`), &v); err != nil {
		t.Fatal(err)
	}
	size := func(v tree) int {
		b, _ := json.Marshal(v)
		return len(b)
	}
	all := smaller(v)
	if len(all) != 7 {
		t.Errorf("%d candidates: %v", len(all), all)
	}
	for _, s := range all {
		if size(s) >= size(v) {
			t.Errorf("%v is not smaller", s)
		}
	}
}

// TestDifferencesAreRead: every entry of the list has a pattern and a reason.
func TestDifferencesAreRead(t *testing.T) {
	all, err := loadDifferences("differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.kafka == nil && e.sluice == nil && e.request == nil && e.where.String() == "" {
			t.Errorf("%q excuses everything", e.why)
		}
	}
}
