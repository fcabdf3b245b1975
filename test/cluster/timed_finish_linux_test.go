package cluster

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	appnode "sluice/app/node"
	"sluice/base/config"
	"sluice/broker/partition"
	"sluice/cluster/audit"
	"sluice/storage/objstore"
	"sluice/storage/objstore/driver"
	"sluice/test/history"
	"sluice/test/timeline"
)

// promises are the guarantees that a run judges.
func promises() []*timeline.Guarantee {
	var all []*timeline.Guarantee
	for _, g := range [][2]string{
		{"G1", "What is acknowledged is never lost"},
		{"G2", "Nothing is reordered"},
		{"G3", "An idempotent producer's records are there once"},
		{"G4", "Transactions are atomic and fenced"},
		{"G5", "Group offsets are durable, and groups read everything"},
		{"G6", "Committed data is readable from any broker after a failover, with cold caches"},
		{"G7", "Nothing beyond HW or LSO is returned; neither goes back"},
		{"G8", "Compaction keeps the newest record of every key"},
		{"G9", "Retention deletes only what is due"},
		{"G10", "An object that is referred to is never deleted"},
		{"G11", "Nothing is leaked: the bucket holds what is referred to"},
		{"G12", "Metadata is the same for everybody at one position of its log"},
		{"G13", "Everything is served again in time when faults end"},
	} {
		all = append(all, &timeline.Guarantee{ID: g[0], Promise: g[1]})
	}
	return all
}

// wrongf notes what speaks against a guarantee, and when.
func (r *timed) wrongf(g *timeline.Guarantee, format string, args ...any) {
	g.Wrongf(format, args...)
	r.tl.Notef(g.ID+": "+format, args...)
}

// anomalies says which guarantee an anomaly of the history speaks against.
var anomalies = map[string]string{
	"lost write": "G1", "unseen": "G1", "phantom": "G1", "vanished": "G7", "out of order": "G2", "skip": "G2", "regress": "G2",
	"duplicate": "G3", "inconsistent offsets": "G3", "aborted read": "G4", "precommitted read": "G4", "uncommitted read": "G7", "read before send": "G7",
	"real-time order": "G2", "G1c": "G4", "lost commit": "G5", "commit goes back": "G5", "phantom commit": "G5", "two owners": "G5", "open too long": "G4",
	"watermark goes back": "G7", "beyond watermark": "G7", "trimmed too much": "G9",
}

// step gives one step of the end its own time, for a machine that has much else to do.
func step(do func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	do(ctx)
}

// finish lets all clients come to their end, kills all brokers and reads everything from cold caches, compares and verifies.
func (r *timed) finish() {
	r.tl.Notef("the faults are over")
	r.still.Store(true) // and so are the operator's moves
	copying, cancel := context.WithTimeout(context.Background(), finishMost)
	defer cancel()
	copied, err := r.copies.finish(copying)
	r.tl.Count("franz-go", "copied in transactions", int64(copied))
	if err != nil {
		r.wrongf(r.guarantee("G4"), "copies in transactions: %v", err)
	}
	for _, s := range r.stacks {
		s.finish()
	}
	r.foreign.finish(copying)
	r.tl.Notef("all is copied in transactions")
	r.halt()
	r.awaitHealthy()
	step(r.sameEverywhere)
	for _, n := range r.nodes {
		r.kill(n)
	}
	r.heal()
	r.t.blaming("G12", r.checkTopics)
	cold := time.Now()
	for _, s := range r.stacks {
		step(s.check)
	}
	step(r.compacted.check)
	step(r.trimmed.check)
	read := false
	step(func(ctx context.Context) {
		err := r.ReadAll(ctx)
		if read = err == nil; !read {
			r.t.blaming("G13", func() { r.t.Errorf("the final read: %v", err) })
		}
	})
	r.tl.Notef("everything was read from cold caches in %v", time.Since(cold).Round(time.Millisecond))
	r.judgeHistory(read)
	r.readsOfTheDeleted() // before a verification, which is nobody's broker, and looks again when an object has gone
	r.t.blaming("G10", r.nodes[0].Verify)
	r.atRest()
	r.needs()
}

// staleRead is how long after its deletion an object is asked for by nobody who still reads what was there a grace before.
const staleRead = 30 * time.Second

// readsOfTheDeleted judges the reads of objects after their deletion. A read that was located before all brokers had seen the mark, and took longer than
// the grace, which is some seconds here, meets a deleted object; it is located again, by a newer image. That is no harm. But no broker's image may go on naming
// such an object, so nobody comes for it later. What is given up as lost, clients are told (CORRUPT_MESSAGE), and their checks find it.
func (r *timed) readsOfTheDeleted() {
	g := r.guarantee("G10")
	g.Need("objects deleted under load", int64(r.proxy.Deleted()), 1)
	late, latest := r.proxy.GoneReads(), time.Duration(0)
	for _, read := range late {
		if latest = max(latest, read.After); read.After > staleRead {
			g.Wrongf("%s was read %v after it had been deleted", read.Key, read.After)
		}
	}
	g.Shown = append(g.Shown, fmt.Sprintf("reads that came after a deletion: %d, the latest %.1f s after it", len(late), latest.Seconds()))
}

// halt ends the clients that are left; producers first, so that readers can read all.
func (r *timed) halt() {
	for _, p := range r.producers {
		if err := p.Halt(finishWithin); err != nil {
			r.t.Errorf("liveness: %v", err)
		}
	}
	r.producers = nil
	for _, w := range r.compacted.writers {
		w.Halt()
	}
	for _, w := range r.trimmed.readers {
		w.Halt()
	}
	r.raw.halt()
	r.images.halt()
	r.stopClients()
}

// judgeHistory checks what franz-go's clients did and saw. Where everything could not be read in the end, nothing is known of what is there.
func (r *timed) judgeHistory(read bool) {
	report := history.Check(r.rec, history.Want{Acknowledged: 100, NoFinalRead: !read})
	for _, a := range report.Anomalies {
		r.guarantee(cmp.Or(anomalies[a.Kind], "G1")).Wrongf("%s: %s", a.Kind, a.Text)
	}
	for _, m := range report.Missing {
		r.guarantee("G1").Missing = append(r.guarantee("G1").Missing, m)
	}
	r.tl.Notef("history: %s", strings.SplitN(report.String(), "\n", 2)[0])
	for _, c := range r.complaints {
		id := "G3"
		switch {
		case strings.HasPrefix(c, "liveness"):
			id = "G13"
		case strings.HasPrefix(c, "group"):
			id = "G5"
		case strings.HasPrefix(c, "consumer"):
			id = "G7"
		}
		r.guarantee(id).Wrongf("client: %s", c)
	}
	r.guarantee("G1").Need("records acknowledged to franz-go", int64(report.OK), 100)
	if read {
		r.guarantee("G6").Need("records read from cold caches", int64(report.OK), 100)
	} else {
		r.guarantee("G1").Need("final reads", 0, 1)
		r.guarantee("G6").Need("final reads", 0, 1)
	}
	if report.Verdict != history.Pass {
		r.t.TB.Errorf("history: %v", report)
		r.keep()
	}
}

// sameEverywhere compares the metadata that every broker gives to clients.
func (r *timed) sameEverywhere(ctx context.Context) {
	g := r.guarantee("G12")
	var first, who string
	same := int64(0)
	for deadline := time.Now().Add(servedWithin); ; { // balancing may still be at work
		first, same = "", 0
		differ := ""
		for _, n := range r.nodes {
			text, err := r.describeAt(ctx, n)
			switch {
			case err != nil:
				differ = fmt.Sprintf("%s: %v", n.name, err)
			case first == "":
				first, who, same = text, n.name, 1
			case text != first:
				differ = fmt.Sprintf("%s and %s give different metadata", who, n.name)
			default:
				same++
			}
		}
		if differ == "" {
			break
		}
		if time.Now().After(deadline) {
			g.Wrongf("%s", differ)
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	g.Need("brokers that give the same metadata in the end", same, int64(len(r.nodes)))
}

// describeAt is the metadata that a broker gives to clients, and the configurations of all topics, as text.
func (r *timed) describeAt(ctx context.Context, n *node) (string, error) {
	client, err := kgo.NewClient(append(r.Options(), kgo.SeedBrokers(n.Addr))...)
	if err != nil {
		return "", err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	m, err := adm.Metadata(ctx)
	if err != nil {
		return "", err
	}
	configs, err := adm.DescribeTopicConfigs(ctx, m.Topics.Names()...)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, t := range m.Topics.Sorted() {
		fmt.Fprintf(&out, "%s %v %v\n", t.Topic, t.ID, t.Err)
		for _, p := range t.Partitions.Sorted() {
			fmt.Fprintf(&out, " %d %d %d %v\n", p.Partition, p.Leader, p.LeaderEpoch, p.Err)
		}
		c, err := configs.On(t.Topic, nil)
		if err != nil {
			return "", err
		}
		var lines []string
		for _, kv := range c.Configs {
			lines = append(lines, fmt.Sprintf(" %s=%s %v", kv.Key, kv.MaybeValue(), kv.Source))
		}
		slices.Sort(lines)
		fmt.Fprintln(&out, strings.Join(lines, "\n"))
	}
	return out.String(), nil
}

// atRest ends all brokers and has another one, whose clock is hours ahead, do what is to be done when all grace times are over. Then the bucket
// holds what the metadata refers to, and nothing else.
func (r *timed) atRest() {
	for _, n := range r.nodes {
		r.stop(n)
	}
	g := r.guarantee("G11")
	ahead := func() time.Time { return time.Now().Add(3 * time.Hour) }
	last, err := r.lateBroker(ahead)
	if err != nil {
		g.Wrongf("a broker after all others: %v", err)
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := last.Shutdown(ctx); err != nil {
			r.tl.Notef("the last broker: %v", err)
		}
	}()
	store, err := objstore.Open(context.Background(), r.bucket, objstore.Options{Getenv: os.Getenv})
	if err != nil {
		r.t.Fatal(err)
	}
	var report *audit.Report
	for deadline := time.Now().Add(readWithin); time.Now().Before(deadline); time.Sleep(time.Second) {
		report, err = audit.Verify(context.Background(), audit.Options{Bucket: store, Deep: true, CheckMeta: partition.CheckSnapshotParts, Now: ahead,
			OpenStore: func(context.Context, string) (driver.Store, error) { return store, nil }})
		if err == nil && wrongWith(report) == "" {
			break
		}
	}
	switch {
	case err != nil:
		g.Wrongf("verify: %v", err)
	case wrongWith(report) != "":
		g.Wrongf("%s", wrongWith(report))
	default:
		g.Need("keys in the bucket, all of them referred to", int64(report.Keys), 1)
	}
}

// wrongWith sums up what a verification has found; notes of what cannot be checked do not count.
func wrongWith(report *audit.Report) string {
	var all []string
	for _, f := range report.Findings {
		if f.Severity != audit.Note {
			all = append(all, f.String())
		}
	}
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("%d findings, such as %s", len(all), all[0])
}

// lateBroker starts a broker in this process, with the bucket and the WALs of the others.
func (r *timed) lateBroker(now func() time.Time) (*appnode.Node, error) {
	var set []config.Value
	for _, kv := range []string{"bucket=" + r.bucket, "wal=" + r.volume("wal"), "data=" + r.t.TempDir(), "admin=off", "listen=10.0.0.1:9092", "memory=192MiB", "name=last",
		"sweep-interval=1s", "log.retention.check.interval.ms=1000", "upload-interval=500ms", "compaction-interval=5s"} {
		k, v, _ := strings.Cut(kv, "=")
		set = append(set, config.Value{Name: k, Text: v, From: "test"})
	}
	cfg, err := config.Resolve(set)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	return appnode.Start(ctx, appnode.Options{Config: cfg, Now: now, Getenv: os.Getenv, Logger: log})
}

// needs says what must have happened for a verdict.
func (r *timed) needs() {
	need := func(id, stack, what string, n int64) {
		g := r.guarantee(id)
		name := what
		if stack != "" {
			name = stack + ": " + what
		}
		g.Need(name, r.tl.Counted(stack, what), n)
	}
	for _, s := range r.stacks {
		need("G1", s.name, "acknowledged", 100)
		need("G2", s.name, "read in the end", 100)
		need("G3", s.name, "acknowledged", 100)
		need("G5", s.name, "consumed", 100)
	}
	need("G2", "franz-go", "acknowledged", 100)
	need("G3", "franz-go", "acknowledged", 100)
	need("G4", "franz-go", "copied in transactions", 100)
	need("G4", r.foreign.name, "copied in transactions", 100)
	need("G6", "franz-go", "reads at random places", 20)
	need("G7", "raw reader", "fetches", 1000)
	need("G7", "raw reader", "batches", 100)
	need("G9", "log starts", "looked up", 20)
	r.guarantee("G12").Need("descriptions compared at one position", r.images.compared, 100)
	need("G12", "operator", "topics created", 5)
	need("G12", "operator", "topics deleted", 5)
	for _, g := range r.guarantees {
		for _, f := range families {
			g.Need("faults, "+f, r.tl.Fired(f), 1)
		}
	}
	longest := r.tl.Longest()
	r.guarantee("G13").Shown = append(r.guarantee("G13").Shown, fmt.Sprintf("the longest time until every partition took a record: %.2f s, after: %s", longest.Served.Seconds(), longest.Name))
}
