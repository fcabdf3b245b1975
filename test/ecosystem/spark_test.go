package ecosystem

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/process"
)

// sparkCount is a job of Spark that counts words, what it was given, and where it keeps checkpoints.
type sparkCount struct {
	addr, classpath, checkpoints string
	random                       *rand.Rand
	want                         map[string]int
	words                        int
}

// TestSpark: a job of Spark copies a topic as one batch. Another one counts words as a stream, in small batches, is killed, and goes on from its checkpoints. It may
// write its last batch a second time, with the same numbers; so the number of a word never falls, and the last one is what was produced.
func TestSpark(t *testing.T) {
	b := sluice(t)
	s := &sparkCount{addr: b.Addr, classpath: classes(t, "spark"), checkpoints: t.TempDir(), random: rand.New(rand.NewPCG(5, 6)), want: map[string]int{}}
	createTopic(t, s.addr, "words", 3)
	createTopic(t, s.addr, "copy", 3)
	createTopic(t, s.addr, "counts", 2)
	s.produce(t, 10000)
	s.checkCopy(t)
	job := s.start(t, "count", s.addr, s.checkpoints)
	s.await(t, 4000)
	s.produce(t, 15000)
	job.Kill()
	killed := s.await(t, 4000)
	s.produce(t, 5000)
	s.start(t, "count", s.addr, s.checkpoints)
	s.await(t, s.words)
	t.Logf("%d words, %d of them counted when the job was killed", s.words, killed)
	b.Verify()
}

func (s *sparkCount) start(t *testing.T, args ...string) *process.Process {
	t.Helper()
	flags := []string{"-Xmx768m", "-Djava.io.tmpdir=" + t.TempDir(), "--add-modules=jdk.incubator.vector"}
	for _, p := range []string{"java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util", "java.util.concurrent",
		"java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"} {
		flags = append(flags, "--add-opens=java.base/"+p+"=ALL-UNNAMED")
	}
	return java(t, s.classpath, flags, "SparkCount", args...)
}

func (s *sparkCount) produce(t *testing.T, n int) {
	t.Helper()
	var records []*kgo.Record
	for range n {
		word := fmt.Sprintf("word%d", s.random.IntN(100))
		s.want[word]++
		s.words++
		records = append(records, &kgo.Record{Topic: "words", Key: []byte(strconv.Itoa(s.words)), Value: []byte(word),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(word)}}})
	}
	produce(t, s.addr, records...)
}

// checkCopy demands that a batch reads all records, and writes them in their order to the partitions they came from.
func (s *sparkCount) checkCopy(t *testing.T) {
	t.Helper()
	job := s.start(t, "copy", s.addr)
	await(t, "the batch is copied", func() error {
		if !strings.Contains(job.Output.String(), "copied") {
			return errors.New("not yet")
		}
		return nil
	})
	var lines [2][]string
	for i, topic := range []string{"words", "copy"} {
		records, err := read(t, s.addr, topic)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortStableFunc(records, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
		for _, r := range records {
			lines[i] = append(lines[i], fmt.Sprintf("%d %d %s %s %v", r.Partition, r.Offset, r.Key, r.Value, r.Headers))
		}
	}
	if len(lines[0]) != s.words || !slices.Equal(lines[0], lines[1]) {
		t.Errorf("of %d records the topic has %d and the copy %d, or others, or not in their order", s.words, len(lines[0]), len(lines[1]))
	}
}

// await waits until so many words are counted, and returns how many are.
func (s *sparkCount) await(t *testing.T, want int) (n int) {
	t.Helper()
	await(t, fmt.Sprintf("%d words are counted", want), func() (err error) {
		if n, err = s.counted(t); err == nil && n < want {
			err = fmt.Errorf("%d are", n)
		}
		return err
	})
	return n
}

// counted is how many words the last numbers of each word add up to. No number of a word may be smaller than the one before it, or larger than that of the words
// that were produced.
func (s *sparkCount) counted(t *testing.T) (int, error) {
	t.Helper()
	records, err := read(t, s.addr, "counts")
	if err != nil {
		return 0, err
	}
	last := map[string]int{}
	for _, r := range records {
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			t.Fatalf("%s: the count is %q", r.Key, r.Value)
		}
		word := string(r.Key)
		if n < last[word] || n > s.want[word] {
			t.Fatalf("%s: %d words after %d, of %d", word, n, last[word], s.want[word])
		}
		last[word] = n
	}
	sum := 0
	for _, n := range last {
		sum += n
	}
	return sum, nil
}
