package ecosystem

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/broker"
	"sluice/test/process"
	"sluice/test/twin"
)

// patience bounds every wait: a program that starts a JVM and joins a group takes seconds, on a busy machine many.
const patience = 6 * time.Minute

func TestMain(m *testing.M) {
	want := os.Getenv("SLUICE_ECOSYSTEM")
	if want == "" {
		fmt.Println("the programs around Kafka run with: make ecosystem")
		return
	}
	flag.Parse()
	if run := flag.Lookup("test.run"); want != "all" && run != nil {
		_ = run.Value.Set("^Test(" + strings.ReplaceAll(want, ",", "|") + ")$")
	}
	os.Exit(m.Run())
}

// jars fetches what the pom.xml in a directory here names, once, and returns the class path.
func jars(t *testing.T, name string) string {
	t.Helper()
	pom := filepath.Join(broker.Root(), "test", "ecosystem", name)
	text, err := os.ReadFile(filepath.Join(pom, "pom.xml"))
	if err != nil {
		t.Fatal(err)
	}
	libs := filepath.Join(broker.Root(), ".cache", "ecosystem", name+"-"+sum(text))
	made(t, libs, func(half string) {
		run(t, pom, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+half)
	})
	return libs + "/*"
}

// classes compiles the Java programs in a directory here against its jars, once, and returns the class path.
func classes(t *testing.T, name string) string {
	t.Helper()
	libs := jars(t, name)
	sources, err := filepath.Glob(filepath.Join(broker.Root(), "test", "ecosystem", name, "*.java"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no Java programs in %s: %v", name, err)
	}
	var text []byte
	for _, s := range sources {
		b, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	dir := filepath.Join(broker.Root(), ".cache", "ecosystem", name+"-classes-"+sum(append(text, libs...)))
	made(t, dir, func(half string) {
		args := []string{"-cp", libs, "org.eclipse.jdt.internal.compiler.batch.Main", "-17", "-nowarn", "-proc:none", "-cp", colons(t, libs), "-d", half}
		run(t, "", "java", append(args, sources...)...)
	})
	return dir + ":" + libs
}

// colons writes out a class path DIR/*, which the compiler does not know.
func colons(t *testing.T, libs string) string {
	t.Helper()
	all, err := filepath.Glob(libs + ".jar")
	if err != nil || len(all) == 0 {
		t.Fatalf("no jars in %s: %v", libs, err)
	}
	return strings.Join(all, ":")
}

func sum(b []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(b)) }

// made makes a directory if it is not there. Test processes wait for each other, and a half-made one is never used.
func made(t *testing.T, dir string, fill func(half string)) {
	t.Helper()
	unlock, err := process.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return
	}
	half := dir + ".half"
	for _, err := range []error{os.RemoveAll(half), os.MkdirAll(half, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fill(half)
	if err := os.Rename(half, dir); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// start starts a program that ends with the test; a failed test shows what it printed last.
func start(t *testing.T, program string, args ...string) *process.Process {
	t.Helper()
	p, err := process.Start(program, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s %v printed:\n%s", program, args, p.Output)
		}
	})
	return p
}

// java starts a main class with a small heap and one collector thread: programs share the machine with the broker.
func java(t *testing.T, classpath string, flags []string, class string, args ...string) *process.Process {
	t.Helper()
	all := []string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + filepath.Join(broker.Root(), "test/kafka/log4j2.properties")}
	all = append(append(all, flags...), "-cp", classpath, class)
	return start(t, "java", append(all, args...)...)
}

// sluice starts a broker as it comes, but for a wait before a group's first rebalance, which costs each test seconds. With SLUICE_ECOSYSTEM_BROKERS it is the
// first of so many, in a zone each, with the WAL in the bucket.
func sluice(t *testing.T) *broker.Process {
	t.Helper()
	args := []string{"--group-initial-rebalance-delay-ms", "0"}
	number := os.Getenv("SLUICE_ECOSYSTEM_BROKERS")
	if number == "" {
		return broker.Start(t, broker.Options{Args: args})
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		t.Fatalf("SLUICE_ECOSYSTEM_BROKERS=%s: want a number of brokers", number)
	}
	dir := t.TempDir()
	var first *broker.Process
	for i := range n {
		name := strconv.Itoa(i)
		b := broker.Start(t, broker.Options{
			Dir: filepath.Join(dir, name), Bucket: "file://" + filepath.Join(dir, "bucket"), WAL: "s3", Args: append([]string{"--zone", "zone-" + name}, args...),
		})
		if first == nil {
			first = b
		}
	}
	return first
}

// apacheKafka starts a broker of Apache Kafka and returns its address.
func apacheKafka(t *testing.T) string {
	t.Helper()
	addr := twin.StartKafka(t)
	await(t, "Apache Kafka serves", func() error {
		_, err := admin(t, addr).Metadata(t.Context())
		return err
	})
	return addr
}

func freeAddress(t *testing.T) string {
	t.Helper()
	addr, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// await asks until there is no error, and fails the test with the last one when that takes longer than patience.
func await(t *testing.T, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// admin connects to a broker for questions; the client ends with the test.
func admin(t *testing.T, addr string) *kadm.Client {
	t.Helper()
	return kadm.NewClient(client(t, addr))
}

func client(t *testing.T, addr string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil))}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func createTopic(t *testing.T, addr, topic string, partitions int32) {
	t.Helper()
	if _, err := admin(t, addr).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatalf("create %s: %v", topic, err)
	}
}

// produce sends records and waits until all are acknowledged.
func produce(t *testing.T, addr string, records ...*kgo.Record) {
	t.Helper()
	if err := client(t, addr).ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

// read returns what a topic has from its start to its end as of now, for readers of committed records, in the order of each partition. It is an error when
// there is an open transaction, which hides what follows.
func read(t *testing.T, addr, topic string) ([]*kgo.Record, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	adm := admin(t, addr)
	committed, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	for _, o := range []kadm.ListedOffsets{committed, ends} {
		if err := o.Error(); err != nil {
			return nil, err
		}
	}
	missing := map[int32]int64{}
	open := false
	committed.Each(func(o kadm.ListedOffset) {
		end, _ := ends.Lookup(topic, o.Partition)
		open = open || end.Offset != o.Offset
		if o.Offset > 0 {
			missing[o.Partition] = o.Offset
		}
	})
	if open {
		return nil, fmt.Errorf("%s has an open transaction", topic)
	}
	return readTo(ctx, t, addr, topic, missing)
}

// readTo reads each partition up to an offset. Markers count as records here, so that a partition that ends with one is read to its end.
func readTo(ctx context.Context, t *testing.T, addr, topic string, missing map[int32]int64) ([]*kgo.Record, error) {
	t.Helper()
	c := client(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer c.Close()
	var all []*kgo.Record
	for len(missing) > 0 {
		fetched := c.PollFetches(ctx)
		if err := fetched.Err0(); err != nil {
			return nil, fmt.Errorf("read %s: %w; offsets not reached: %v", topic, err, missing)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
			if r.Offset >= missing[r.Partition]-1 {
				delete(missing, r.Partition)
			}
		})
	}
	return all, nil
}

// values are what records carry, as text.
func values(records []*kgo.Record) []string {
	var all []string
	for _, r := range records {
		all = append(all, string(r.Value))
	}
	return all
}

// ask sends a request with a body in JSON, if there is one, and decodes the answer into it, if that is wanted. An answer that is not of the 200s is an error.
func ask(t *testing.T, method, url string, body, answer any) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, &b)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, url, res.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// properties writes a file of settings and returns its name.
func properties(t *testing.T, settings ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "settings.properties")
	var b bytes.Buffer
	for _, s := range settings {
		fmt.Fprintln(&b, s)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
