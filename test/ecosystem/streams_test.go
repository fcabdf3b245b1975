package ecosystem

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/process"
)

// wordCount is an application that counts words exactly once, the lines it was given and the counts they must lead to.
type wordCount struct {
	addr      string
	classpath string
	random    *rand.Rand
	want      map[string]int
	words     int
}

// TestStreams: a word count with a repartition topic and a state store is killed twice. Every word must have been counted 1, 2, 3 and so on, with none
// missing and none twice, and the changelog of the store must hold the last counts. After the second kill the application has lost its disk and restores from it.
// In between the broker is killed under it.
func TestStreams(t *testing.T) {
	b := sluice(t)
	w := &wordCount{addr: b.Addr, classpath: classes(t, "kafka"), random: rand.New(rand.NewPCG(1, 2)), want: map[string]int{}}
	for _, topic := range []string{"lines", "counts"} {
		createTopic(t, w.addr, topic, 3)
	}
	state := t.TempDir()
	app := w.start(t, state)
	w.lines(t, 2000)
	w.awaitSome(t, 1000)
	w.lines(t, 4000)
	app.Kill()
	t.Logf("killed when %d of %d words were counted", w.counted(t), w.words)

	app = w.start(t, state)
	w.check(t)

	counted := w.words
	w.lines(t, 4000)
	w.awaitSome(t, counted+200)
	b.Kill()
	b.Launch()
	b.AwaitReady(time.Minute)
	t.Logf("the broker was killed, and has %d of %d words counted", w.counted(t), w.words)
	w.check(t)

	counted = w.words
	w.lines(t, 4000)
	w.awaitSome(t, counted+200)
	app.Kill()
	w.start(t, t.TempDir())
	w.lines(t, 2000)
	w.check(t)
	w.checkChangelog(t)
	t.Logf("%d words, %d different ones", w.words, len(w.want))
	b.Verify()
}

func (w *wordCount) start(t *testing.T, state string) *process.Process {
	t.Helper()
	return java(t, w.classpath, nil, "WordCount", "bootstrap.servers="+w.addr, "application.id=wordcount", "state.dir="+state,
		"processing.guarantee=exactly_once_v2", "num.stream.threads=2", "commit.interval.ms=200", "statestore.cache.max.bytes=0",
		"replication.factor=1", "session.timeout.ms=10000", "heartbeat.interval.ms=1000")
}

// lines gives the application so many lines of one to five words.
func (w *wordCount) lines(t *testing.T, n int) {
	t.Helper()
	var records []*kgo.Record
	for i := range n {
		var words []string
		for range 1 + w.random.IntN(5) {
			word := fmt.Sprintf("word%d", w.random.IntN(200))
			words = append(words, word)
			w.want[word]++
			w.words++
		}
		records = append(records, &kgo.Record{Topic: "lines", Key: []byte(strconv.Itoa(i)), Value: []byte(strings.Join(words, " "))})
	}
	produce(t, w.addr, records...)
}

// counted is how many counts have been committed.
func (w *wordCount) counted(t *testing.T) int {
	t.Helper()
	offsets, err := admin(t, w.addr).ListCommittedOffsets(t.Context(), "counts")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[int32]int64{}
	for p, o := range offsets["counts"] {
		if o.Offset > 0 {
			missing[p] = o.Offset
		}
	}
	records, err := readTo(t.Context(), t, w.addr, "counts", missing)
	if err != nil {
		t.Fatal(err)
	}
	return len(records)
}

func (w *wordCount) awaitSome(t *testing.T, n int) {
	t.Helper()
	await(t, fmt.Sprintf("%d words are counted", n), func() error {
		if got := w.counted(t); got < n {
			return fmt.Errorf("%d are", got)
		}
		return nil
	})
}

// check waits until as many counts are there as words, and demands that each word was counted from one to its number.
func (w *wordCount) check(t *testing.T) {
	t.Helper()
	var records []*kgo.Record
	await(t, fmt.Sprintf("all %d words are counted", w.words), func() (err error) {
		if records, err = read(t, w.addr, "counts"); err == nil && len(records) < w.words {
			err = fmt.Errorf("%d are", len(records))
		}
		return err
	})
	got := map[string]int{}
	for _, r := range records {
		word := string(r.Key)
		got[word]++
		if string(r.Value) != strconv.Itoa(got[word]) {
			t.Fatalf("%s: count number %d is %s", word, got[word], r.Value)
		}
	}
	for word, n := range w.want {
		if got[word] != n {
			t.Errorf("%s was counted %d times, want %d", word, got[word], n)
		}
	}
	if len(got) != len(w.want) {
		t.Errorf("%d words were counted, want %d", len(got), len(w.want))
	}
}

// checkChangelog demands that the last record of each word in the store's changelog is its count.
func (w *wordCount) checkChangelog(t *testing.T) {
	t.Helper()
	var last map[string]int
	await(t, "the changelog has no open transaction", func() error {
		records, err := read(t, w.addr, "wordcount-store-changelog")
		last = map[string]int{}
		for _, r := range records {
			last[string(r.Key)] = int(binary.BigEndian.Uint64(r.Value))
		}
		return err
	})
	for word, n := range w.want {
		if last[word] != n {
			t.Errorf("the changelog has %d for %s, want %d", last[word], word, n)
		}
	}
}
