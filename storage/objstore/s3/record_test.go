package s3

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"testing"

	"sluice/storage/objstore/driver"
)

// tally counts what it is told.
type tally struct {
	mu             sync.Mutex
	ops            map[driver.Op]int
	sent, received int64
}

func (t *tally) Record(op driver.Op, sent, received int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ops[op]++
	t.sent, t.received = t.sent+sent, t.received+received
}

// TestEveryRequestIsTold compares what the recorder is told with what a server gets, failures, repeated parts, pages and batches included.
func TestEveryRequestIsTold(t *testing.T) {
	p := &parts{sizes: map[string]int{}, complete: func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
	}}
	p.failures.Store(2)
	var mu sync.Mutex
	requests := 0
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		requests++
		mu.Unlock()
		q := r.URL.Query()
		switch {
		case q.Has("list-type"):
			token := map[string]string{"": "two", "two": "three"}[q.Get("continuation-token")]
			fmt.Fprintf(w, `<ListBucketResult><IsTruncated>%v</IsTruncated><NextContinuationToken>%s</NextContinuationToken></ListBucketResult>`, token != "", token)
		case q.Has("delete"):
			fmt.Fprint(w, `<DeleteResult></DeleteResult>`)
		case r.Method == http.MethodGet && r.URL.Path == "/bucket/p/gone":
			refusal(404, "NoSuchKey")(w, r)
		case r.Method == http.MethodGet:
			fmt.Fprint(w, "hello")
		default:
			p.ServeHTTP(w, r)
		}
	})
	told := &tally{ops: map[driver.Op]int{}}
	ctx := driver.WithRecorder(t.Context(), told)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	big := make([]byte, 2*testPart+5)
	const count = 3
	check(s.Put(ctx, "big", [][]byte{big}, driver.PutOptions{IfAbsent: true}))
	check(s.Put(ctx, "small", [][]byte{[]byte("abc")}, driver.PutOptions{}))
	_, err := s.Get(ctx, "k", 0, -1, nil)
	check(err)
	if _, err := s.Get(ctx, "gone", 0, -1, nil); err == nil {
		t.Fatal("found")
	}
	for _, err := range s.List(ctx, "", "") {
		check(err)
	}
	check(s.Delete(ctx, "one"))
	check(s.Delete(ctx, make1500()...))
	p.complete = refusal(412, "PreconditionFailed")
	if err := s.Put(ctx, "big", [][]byte{big}, driver.PutOptions{}); err == nil {
		t.Fatal("replaced")
	}
	want := map[driver.Op]int{driver.OpStat: 1, driver.OpCreate: 2, driver.OpPart: 2*count + 2, driver.OpComplete: 2, driver.OpAbort: 1, driver.OpPut: 1,
		driver.OpGet: 2, driver.OpList: 3, driver.OpDelete: 3}
	if !maps.Equal(told.ops, want) {
		t.Errorf("told of %v, want %v", told.ops, want)
	}
	sum := 0
	for _, n := range told.ops {
		sum += n
	}
	if sum != requests || told.received < 5 || told.sent < int64(2*len(big)+3) {
		t.Errorf("told of %d requests, the server got %d; %d bytes sent, %d received", sum, requests, told.sent, told.received)
	}
}

func make1500() (keys []string) {
	for i := range 1500 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	return keys
}
