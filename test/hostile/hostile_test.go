package hostile

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// bounds of a run.
type bounds struct {
	atLeast     time.Duration // of an attack
	share       int           // of each kind of work, while an attack goes on
	connections int           // of attackers
	topics      int           // that there are
	largeMiB    int           // of the topic that slow readers ask for
}

func boundsOf() bounds {
	if os.Getenv("SLUICE_HOSTILE") == "long" {
		return bounds{atLeast: 20 * time.Second, share: 100, connections: 2000, topics: 1000, largeMiB: 200}
	}
	return bounds{share: 3, connections: 60, topics: 20, largeMiB: 20}
}

// TestAttacks: see the package.
func TestAttacks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory and open files are read from /proc")
	}
	b := boundsOf()
	v := newVictim(t)
	prepare(t, v, b)
	h := startHonest(t.Context(), t, v)
	table := "\n| attack | most resident, MiB | " + fmt.Sprint(kinds) + ": median, p99 in ms (count) |\n"
	row := func(name string, size int, run func(ctx context.Context, v *victim, size int) error) {
		peak := v.endure(h, b, name, size, run)
		table += fmt.Sprintf("| %s | %d |%s\n", name, peak, h.report())
	}
	row("none", 0, func(ctx context.Context, _ *victim, _ int) error { <-ctx.Done(); return nil })
	only, err := regexp.Compile(os.Getenv("SLUICE_HOSTILE_ONLY"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range append(connectionAttacks, requestAttacks...) {
		if !only.MatchString(a.name) {
			continue
		}
		row(a.name, b.connections, a.run)
	}
	t.Log(table)
	h.stop()
	if err := v.p.Stop(time.Minute); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// prepare makes the topics and fills the large one.
func prepare(t *testing.T, v *victim, b bounds) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(v.plain), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	names := []string{honestTopic, largeTopic}
	for i := range b.topics {
		names = append(names, fmt.Sprintf("topic-%d", i))
	}
	made, err := admin.CreateTopics(ctx, 1, 1, nil, names...)
	if err == nil {
		err = made.Error()
	}
	if err == nil {
		policy := "compact"
		_, err = admin.CreateTopic(ctx, 1, 1, map[string]*string{"cleanup.policy": &policy}, compacted)
	}
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 500<<10)
	for range b.largeMiB * 2 {
		client.Produce(ctx, &kgo.Record{Topic: largeTopic, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("fill the large topic: %v", err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// endure runs an attack until the honest clients have done their share, and judges it. It returns the most memory that was resident.
func (v *victim) endure(h *honest, b bounds, name string, size int, run func(context.Context, *victim, int) error) (peak int) {
	v.t.Helper()
	files, goroutines := v.footprint()
	v.forgetPeak()
	ctx, cancel := context.WithTimeout(v.t.Context(), patience)
	defer cancel()
	attacking, over := context.WithCancel(ctx)
	result := make(chan error, 1)
	go func() { result <- run(attacking, v, size) }()
	h.reset()
	start := time.Now()
	missing, ok := h.await(ctx, b.share)
	rest(ctx, b.atLeast-time.Since(start))
	over()
	if err := <-result; err != nil {
		v.t.Errorf("%s: %v", name, err)
	}
	if !ok {
		v.t.Errorf("%s: honest clients were kept from working:%s", name, missing)
	}
	_, peak = v.residentMiB()
	if peak > boundMiB {
		v.t.Errorf("%s: %d MiB were resident; the bound is %d", name, peak, boundMiB)
	}
	f, g := v.awaitQuiet(files, goroutines)
	now, _ := v.residentMiB()
	v.t.Logf("%s: %v, at most %d MiB resident, %d now; open files %d to %d, goroutines %d to %d", name, time.Since(start).Round(time.Millisecond), peak, now, files, f, goroutines, g)
	return peak
}
