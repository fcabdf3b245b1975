package ecosystem

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/test/process"
)

// worker is one process of Kafka Connect in distributed mode.
type worker struct {
	*process.Process
	url string
}

// connect starts a worker; workers with the same broker form a group.
func connect(t *testing.T, addr string, settings ...string) worker {
	t.Helper()
	listen := freeAddress(t)
	file := properties(t, append([]string{"bootstrap.servers=" + addr, "group.id=connect", "listeners=http://" + listen,
		"config.storage.topic=connect-configs", "offset.storage.topic=connect-offsets", "status.storage.topic=connect-status",
		"config.storage.replication.factor=1", "offset.storage.replication.factor=1", "status.storage.replication.factor=1",
		"offset.storage.partitions=3", "exactly.once.source.support=enabled", "transaction.timeout.ms=10000", "offset.flush.interval.ms=500",
		"key.converter=org.apache.kafka.connect.storage.StringConverter", "value.converter=org.apache.kafka.connect.storage.StringConverter",
		"session.timeout.ms=6000", "heartbeat.interval.ms=1000", "scheduled.rebalance.max.delay.ms=1000", "connector.client.config.override.policy=All",
		"plugin.discovery=service_load"}, settings...)...)
	return worker{java(t, jars(t, "kafka"), nil, "org.apache.kafka.connect.cli.ConnectDistributed", file), "http://" + listen}
}

func (w worker) awaitReady(t *testing.T) {
	t.Helper()
	await(t, "Connect answers", func() error { return ask(t, http.MethodGet, w.url+"/connectors", nil, nil) })
}

// call asks a worker until it accepts: it refuses while its group is at a rebalance.
func (w worker) call(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	await(t, method+" "+path, func() error { return ask(t, method, w.url+path, body, answer) })
}

// awaitState waits until a connector and its tasks are in a state, and returns the worker of its first task.
func (w worker) awaitState(t *testing.T, connector, state string, tasks int) (at string) {
	t.Helper()
	type one struct {
		State  string `json:"state"`
		Worker string `json:"worker_id"`
		Trace  string `json:"trace"`
	}
	await(t, connector+" is "+state, func() error {
		var s struct {
			Connector one   `json:"connector"`
			Tasks     []one `json:"tasks"`
		}
		if err := ask(t, http.MethodGet, w.url+"/connectors/"+connector+"/status", nil, &s); err != nil {
			return err
		}
		if len(s.Tasks) != tasks || slices.ContainsFunc(append(s.Tasks, s.Connector), func(o one) bool { return o.State != state }) {
			return fmt.Errorf("%+v", s)
		}
		if tasks > 0 {
			at = s.Tasks[0].Worker
		}
		return nil
	})
	return at
}

// copied is a file of lines that Connect copies to a topic and from there to another file.
type copied struct {
	addr, from, to string
	lines          []string
}

func (c *copied) write(t *testing.T, n int) {
	t.Helper()
	f, err := os.OpenFile(c.from, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range n {
		line := fmt.Sprintf("line %d", len(c.lines))
		c.lines = append(c.lines, line)
		if _, err := fmt.Fprintln(f, line); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitTopic waits until the topic has all lines, and demands that it has nothing else.
func (c *copied) awaitTopic(t *testing.T) {
	t.Helper()
	var got []string
	await(t, "the lines are in the topic", func() error {
		records, err := read(t, c.addr, "copied")
		if err != nil {
			return err
		}
		if got = values(records); len(got) < len(c.lines) {
			return fmt.Errorf("%d of %d are", len(got), len(c.lines))
		}
		return nil
	})
	if !slices.Equal(got, c.lines) {
		t.Errorf("the topic has %d lines, want %d, in order", len(got), len(c.lines))
	}
}

// awaitFile waits until the file has all lines and demands that it has nothing else. A sink may write lines again after its worker was killed.
func (c *copied) awaitFile(t *testing.T, again bool) {
	t.Helper()
	var got []string
	await(t, "the lines are in the file", func() error {
		text, err := os.ReadFile(c.to)
		if err != nil {
			return err
		}
		got = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if again {
			slices.Sort(got)
			got = slices.Compact(got)
		}
		if len(got) < len(c.lines) {
			return fmt.Errorf("%d of %d are", len(got), len(c.lines))
		}
		return nil
	})
	want := slices.Clone(c.lines)
	if again {
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the file has %d lines, want %d", len(got), len(c.lines))
	}
}

// TestConnect: two workers copy a file through a topic, exactly once into it, while the connectors are paused, restarted, stopped and moved to
// the worker that is left; offsets are shown and reset. A new worker finds connectors and offsets in the compacted topics when all others are dead.
func TestConnect(t *testing.T) {
	b := sluice(t)
	dir := t.TempDir()
	c := &copied{addr: b.Addr, from: filepath.Join(dir, "from"), to: filepath.Join(dir, "to")}
	createTopic(t, c.addr, "copied", 1)
	workers := []worker{connect(t, b.Addr), connect(t, b.Addr)}
	for _, w := range workers {
		w.awaitReady(t)
	}
	w := workers[0]
	c.write(t, 2000)
	source := map[string]string{"connector.class": "FileStreamSource", "tasks.max": "1", "file": c.from, "topic": "copied", "exactly.once.support": "required", "batch.size": "100"}
	w.call(t, http.MethodPut, "/connectors/source/config", source, nil)
	w.call(t, http.MethodPut, "/connectors/sink/config", map[string]string{"connector.class": "FileStreamSink", "tasks.max": "1", "file": c.to, "topics": "copied",
		"consumer.override.isolation.level": "read_committed", "consumer.override.session.timeout.ms": "6000", "consumer.override.heartbeat.interval.ms": "1000"}, nil)
	w.awaitState(t, "source", "RUNNING", 1)
	w.awaitState(t, "sink", "RUNNING", 1)
	c.awaitTopic(t)
	c.awaitFile(t, false)

	w.call(t, http.MethodPut, "/connectors/source/pause", nil, nil)
	w.awaitState(t, "source", "PAUSED", 1)
	c.write(t, 500)
	w.call(t, http.MethodPut, "/connectors/source/resume", nil, nil)
	w.awaitState(t, "source", "RUNNING", 1)
	c.awaitTopic(t)
	w.call(t, http.MethodPost, "/connectors/source/restart?includeTasks=true", nil, nil)
	w.call(t, http.MethodPost, "/connectors/sink/restart?includeTasks=true", nil, nil)
	c.write(t, 500)
	c.awaitTopic(t)
	c.awaitFile(t, false)
	checkOffsets(t, w, c)

	left := killWorkerOf(t, workers, "source")
	c.write(t, 500)
	left.awaitState(t, "source", "RUNNING", 1)
	left.awaitState(t, "sink", "RUNNING", 1)
	c.awaitTopic(t)
	c.awaitFile(t, true)

	resetOffsets(t, left, c)

	left.Kill()
	c.write(t, 500)
	again := connect(t, b.Addr)
	again.awaitReady(t)
	again.awaitState(t, "source", "RUNNING", 1)
	again.awaitState(t, "sink", "RUNNING", 1)
	c.awaitTopic(t)
	b.Verify()
}

// checkOffsets waits until the offsets that Connect shows are those of all that was copied.
func checkOffsets(t *testing.T, w worker, c *copied) {
	t.Helper()
	info, err := os.Stat(c.from)
	if err != nil {
		t.Fatal(err)
	}
	records, err := read(t, c.addr, "copied")
	if err != nil {
		t.Fatal(err)
	}
	next := records[len(records)-1].Offset + 1 // a sink does not count the marker behind it
	for connector, want := range map[string]string{"source": fmt.Sprintf("position:%d", info.Size()), "sink": fmt.Sprintf("kafka_offset:%d", next)} {
		await(t, "the offsets of "+connector, func() error {
			var got struct {
				Offsets []struct {
					Offset map[string]int `json:"offset"`
				} `json:"offsets"`
			}
			if err := ask(t, http.MethodGet, w.url+"/connectors/"+connector+"/offsets", nil, &got); err != nil {
				return err
			}
			if len(got.Offsets) != 1 || fmt.Sprint(got.Offsets[0].Offset) != "map["+want+"]" {
				return fmt.Errorf("%v, want %s", got, want)
			}
			return nil
		})
	}
}

// killWorkerOf kills the worker that has the connector's task and returns the other one.
func killWorkerOf(t *testing.T, workers []worker, connector string) (left worker) {
	t.Helper()
	at := workers[0].awaitState(t, connector, "RUNNING", 1)
	for i, w := range workers {
		if strings.HasSuffix(w.url, at) {
			w.Kill()
			return workers[1-i]
		}
	}
	t.Fatalf("no worker is at %s", at)
	return worker{}
}

// resetOffsets forgets the source's offsets: it reads the file once more from its start, so that the topic has each line twice.
func resetOffsets(t *testing.T, w worker, c *copied) {
	t.Helper()
	w.call(t, http.MethodPut, "/connectors/source/stop", nil, nil)
	w.awaitState(t, "source", "STOPPED", 0)
	w.call(t, http.MethodDelete, "/connectors/source/offsets", nil, nil)
	w.call(t, http.MethodPut, "/connectors/source/resume", nil, nil)
	w.awaitState(t, "source", "RUNNING", 1)
	once := len(c.lines)
	c.lines = append(c.lines, c.lines...)
	c.awaitTopic(t)
	t.Logf("%d lines, copied twice", once)
}
