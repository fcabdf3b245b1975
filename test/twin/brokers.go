package twin

import (
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/process"
	"sluice/wire/msg"
)

// Target is one of the brokers that are compared.
type Target struct {
	Name string
	Addr string
	Node int32 // its id
}

// StartMax is how long a broker may take to serve, on a machine that does much else: Kafka has been seen to take a minute.
const StartMax = 4 * time.Minute

// StartBoth starts both brokers with the same settings, and waits until they serve topics and groups.
func StartBoth(t *testing.T) [2]*Target { return Join(t, StartKafka(t)) }

// Join starts Sluice beside a Kafka that runs already, with the settings of StartKafka, and waits until both serve.
func Join(t *testing.T, kafkaAddr string) [2]*Target {
	kafka, sluice := &Target{Name: "kafka", Addr: kafkaAddr}, &Target{Name: "sluice"}
	sluice.Addr = broker.Start(t, broker.Options{Args: []string{"--group-initial-rebalance-delay-ms", "0", "--offsets-topic-num-partitions", "1", "--transaction-state-log-num-partitions", "3"}}).Addr
	var wg sync.WaitGroup
	for _, b := range []*Target{kafka, sluice} {
		wg.Go(func() {
			if err := b.Await(StartMax); err != nil {
				t.Errorf("%s: %v", b.Name, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return [2]*Target{kafka, sluice}
}

// StartKafka runs test/kafka/kafka, with settings beside its own, and returns its address at once. It ends with the test.
func StartKafka(t *testing.T, settings ...string) (addr string) {
	t.Helper()
	k := NewKafka(t, settings...)
	k.Launch()
	return k.Addr
}

// Kafka is an Apache Kafka on one port and directory, one process after the other.
type Kafka struct {
	Addr string
	t    *testing.T
	args []string
	p    *process.Process // nil: not started yet
}

// NewKafka prepares one; Launch starts it. Whatever runs of it ends with the test.
func NewKafka(t *testing.T, settings ...string) *Kafka {
	t.Helper()
	port := strconv.Itoa(freePorts(t))
	k := &Kafka{Addr: "127.0.0.1:" + port, t: t, args: append([]string{"start", filepath.Join(t.TempDir(), "data"), port,
		"group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=1", "log.retention.check.interval.ms=3600000",
		"group.consumer.assignor.offload.enable=false"}, settings...)}
	t.Cleanup(func() {
		if k.p == nil {
			return
		}
		k.p.Kill()
		if t.Failed() {
			t.Logf("the log of Apache Kafka ends with\n%s", k.p.Output)
		}
	})
	return k
}

// Launch starts the process and returns at once.
func (k *Kafka) Launch() {
	k.t.Helper()
	p, err := process.Start(filepath.Join(broker.Root(), "test/kafka/kafka"), k.args...)
	if err != nil {
		k.t.Fatalf("start Apache Kafka: %v", err)
	}
	k.p = p
}

// Kill ends the process as kill -9 does.
func (k *Kafka) Kill() { k.p.Kill() }

// Await waits until it serves topics and groups.
func (k *Kafka) Await() {
	k.t.Helper()
	if err := (&Target{Name: "kafka", Addr: k.Addr}).Await(StartMax); err != nil {
		k.t.Fatalf("Apache Kafka: %v", err)
	}
}

// freePorts returns the first of two neighbouring free ports: Kafka's controller takes the second. They lie below those that the system gives to
// whoever asks for any, which could be taken before Kafka has started.
func freePorts(t *testing.T) int {
	t.Helper()
	const from, to = 12_000, 32_000
	for range 100 {
		port := from + 2*rand.IntN((to-from)/2)
		first, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		second, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+1))
		first.Close()
		if err != nil {
			continue
		}
		second.Close()
		return port
	}
	t.Fatal("no two free ports side by side")
	return 0
}

// Await waits until the broker serves topics and is a group coordinator.
func (b *Target) Await(within time.Duration) (err error) {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = b.probe(); err == nil {
			return nil
		}
	}
	return err
}

func (b *Target) probe() error {
	c, err := Dial(b.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.Ask(1, &msg.MetadataRequest{})
	if err != nil {
		return err
	}
	meta := answer.(*msg.MetadataResponse)
	if len(meta.Brokers) == 0 {
		return errNotReady
	}
	b.Node = meta.Brokers[0].NodeId
	answer, err = c.Ask(4, &msg.FindCoordinatorRequest{CoordinatorKeys: []string{"probe"}})
	if err != nil {
		return err
	}
	if co := answer.(*msg.FindCoordinatorResponse).Coordinators; len(co) == 0 || co[0].ErrorCode != 0 {
		return errNotReady
	}
	answer, err = c.Ask(1, &msg.OffsetFetchRequest{GroupId: "probe"})
	if err != nil {
		return err
	}
	answer, err = c.Ask(5, &msg.OffsetFetchRequest{GroupId: "probe"})
	if err == nil && answer.(*msg.OffsetFetchResponse).ErrorCode != 0 {
		err = errNotReady
	}
	return err
}
