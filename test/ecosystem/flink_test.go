package ecosystem

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/process"
)

// flinkCount is a job that counts words, what it was given, and where it keeps checkpoints.
type flinkCount struct {
	addr, classpath, checkpoints string
	random                       *rand.Rand
	want                         map[string]int
	words                        int
}

// TestFlink: a job of Flink, with checkpoints and a sink that writes in transactions, fails once and goes on by itself, is then killed and started from its last
// checkpoint. That one commits transactions that the killed process had prepared. Each word must have been counted 1, 2, 3 and so on.
func TestFlink(t *testing.T) {
	b := sluice(t)
	f := &flinkCount{addr: b.Addr, classpath: classes(t, "flink"), checkpoints: t.TempDir(), random: rand.New(rand.NewPCG(3, 4)), want: map[string]int{}}
	createTopic(t, f.addr, "words", 3)
	createTopic(t, f.addr, "counts", 1)
	f.produce(t, 5000)
	job := f.start(t, "3000")
	f.check(t)
	if !strings.Contains(job.Output.String(), "fails as planned") {
		t.Error("the job did not fail as planned")
	}
	f.produce(t, 20000)
	await(t, "some of it is counted", func() error {
		ends, err := admin(t, f.addr).ListCommittedOffsets(t.Context(), "counts")
		if err != nil {
			return err
		}
		if o, _ := ends.Lookup("counts", 0); o.Offset < 8000 {
			return fmt.Errorf("up to offset %d", o.Offset)
		}
		return nil
	})
	job.Kill()
	f.produce(t, 5000)
	f.start(t, "0", f.last(t))
	f.check(t)
	t.Logf("%d words", f.words)
	b.Verify()
}

func (f *flinkCount) start(t *testing.T, failAfter string, from ...string) *process.Process {
	t.Helper()
	flags := []string{"-Xmx512m"}
	for _, p := range []string{"java.lang", "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.net", "java.io", "java.nio", "java.time", "java.text", "sun.nio.ch"} {
		flags = append(flags, "--add-opens=java.base/"+p+"=ALL-UNNAMED")
	}
	return java(t, f.classpath, flags, "FlinkCount", append([]string{f.addr, f.checkpoints, failAfter}, from...)...)
}

// last is the newest checkpoint that is complete.
func (f *flinkCount) last(t *testing.T) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(f.checkpoints, "*", "chk-*", "_metadata"))
	if err != nil || len(all) == 0 {
		t.Fatalf("no checkpoint in %s: %v", f.checkpoints, err)
	}
	best, most := "", -1
	for _, name := range all {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(filepath.Dir(name)), "chk-%d", &n); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(name); err == nil && info.Size() > 0 && n > most {
			best, most = filepath.Dir(name), n
		}
	}
	return best
}

func (f *flinkCount) produce(t *testing.T, n int) {
	t.Helper()
	var records []*kgo.Record
	for range n {
		word := fmt.Sprintf("word%d", f.random.IntN(100))
		f.want[word]++
		f.words++
		records = append(records, &kgo.Record{Topic: "words", Key: []byte(word), Value: []byte(word)})
	}
	produce(t, f.addr, records...)
}

// committed reads what is committed, whatever is open behind it.
func (f *flinkCount) committed(t *testing.T) ([]*kgo.Record, error) {
	t.Helper()
	ends, err := admin(t, f.addr).ListCommittedOffsets(t.Context(), "counts")
	if err != nil {
		return nil, err
	}
	missing := map[int32]int64{}
	if o, _ := ends.Lookup("counts", 0); o.Offset > 0 {
		missing[0] = o.Offset
	}
	return readTo(t.Context(), t, f.addr, "counts", missing)
}

// check waits until as many counts are committed as there are words, and demands that each word was counted from one to its number.
func (f *flinkCount) check(t *testing.T) {
	t.Helper()
	var records []*kgo.Record
	await(t, fmt.Sprintf("all %d words are counted", f.words), func() (err error) {
		if records, err = f.committed(t); err == nil && len(records) < f.words {
			err = fmt.Errorf("%d are", len(records))
		}
		return err
	})
	got := map[string]int{}
	for _, r := range records {
		word, n, _ := strings.Cut(string(r.Value), " ")
		if got[word]++; n != fmt.Sprint(got[word]) {
			t.Fatalf("%s: count number %d is %s", word, got[word], n)
		}
	}
	for word, n := range f.want {
		if got[word] != n {
			t.Errorf("%s was counted %d times, want %d", word, got[word], n)
		}
	}
}
