package cli

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/edge/admin"
	"sluice/storage/compact"
	"sluice/storage/objstore/mem"
)

// adminServer is the admin listener of a broker of which there is only the metadata: two nodes, a and b; a leads both partitions of topic t and
// has not opened them, so that moves are done at once, unless open.
func adminServer(t *testing.T, open bool) *control.Controller {
	t.Helper()
	ctl, err := control.Start(t.Context(), control.Options{Store: mem.New(), Who: "a"})
	if err != nil {
		t.Fatal(err)
	}
	do := func(c meta.Command) meta.Result {
		res, err := ctl.Submit(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	var refs []meta.NodeRef
	for _, name := range []string{"a", "b"} {
		reg := do(&meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: name, Zone: "z" + name, WAL: "file:///" + name, Endpoints: []meta.Endpoint{{Name: "PLAINTEXT", Host: name, Port: 9092}}})
		refs = append(refs, reg.(*meta.Registered).Node)
	}
	do(&meta.NameController{Node: refs[0]})
	topic := do(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: 2, Leaders: []base.NodeID{refs[0].ID, refs[0].ID}}}}).(*meta.TopicsCreated).Topics[0].ID
	if open {
		do(&meta.OpenPartitions{Node: refs[0], ServeEmpty: true, Partitions: []meta.OpenPartition{
			{Partition: meta.PartitionID{Topic: topic}, Expected: -1}, {Partition: meta.PartitionID{Topic: topic, Index: 1}, Expected: -1},
		}})
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := admin.Start(ln, admin.Options{Gatherer: prometheus.NewRegistry()})
	t.Setenv("SLUICE_ADMIN_SERVER", srv.Addr())
	t.Cleanup(func() {
		srv.Close(context.Background())
		ctl.Close()
	})
	if code, _, stderr := run("", "cluster", "describe"); code != exitFailed || !strings.Contains(stderr, "has not joined the cluster yet") {
		t.Errorf("before it has joined: %d %s", code, stderr)
	}
	srv.Attach(admin.Cluster{Node: refs[0].ID, Control: ctl, Compact: func(context.Context) (compact.Report, error) {
		return compact.Report{Jobs: 2, ObjectsRead: 8, ObjectsMade: 1, BytesRead: 100, BytesWritten: 90}, nil
	}, Transfer: func(ctx context.Context, to base.NodeID) error {
		_, err := ctl.Submit(ctx, &meta.NameController{Node: meta.NodeRef{ID: to, Epoch: refs[1].Epoch}})
		return err
	}, Cost: testCost, WALs: testWALs{ctl, refs[0]}})
	return ctl
}

// testWALs is a broker that needs no directory for a WAL.
type testWALs struct {
	ctl  *control.Controller
	self meta.NodeRef
}

func (w testWALs) AddWAL(ctx context.Context, url string) (base.NodeEpoch, error) {
	v, err := control.Do[meta.VolumeAdded](ctx, w.ctl, &meta.AddVolume{Node: w.self, URL: url})
	if err != nil {
		return 0, err
	}
	_, err = w.ctl.Submit(ctx, &meta.SetVolume{Node: w.self, Volume: v.Epoch, State: meta.VolumeActive, Made: true})
	return v.Epoch, err
}

func (w testWALs) WALStatus() (out []admin.WALStatus) {
	n, _ := w.ctl.Image().Node(w.self.ID)
	for _, v := range n.Volumes {
		out = append(out, admin.WALStatus{Of: v.Epoch, Used: 77, LagMS: 1500})
	}
	return out
}

func TestWALCommands(t *testing.T) {
	ctl := adminServer(t, true)
	says(t, "wal list", 0, "Node 1: 1 WAL", "77", "1.5s", "file", "active")
	says(t, "wal drain 1", exitFailed, "the only one that node 1 can use")
	says(t, "wal add s3", 0, "Volume 3 at s3 is active", "the setting wal")
	says(t, "wal list", 0, "2 WALs", "s3")
	says(t, "wal drain 1", 0, "Volume 1 is draining and has 4 open streams.")
	says(t, "cluster describe", 0, "draining")
	says(t, "wal undrain 1", 0, "Volume 1 is active")
	says(t, "wal drain s3", 0, "Volume 3 is draining and has 0 open streams.")
	n, _ := ctl.Image().Node(1)
	if _, err := ctl.Submit(t.Context(), &meta.RemoveVolume{Node: n.Ref(), Volume: 3}); err != nil {
		t.Fatal(err)
	}
	says(t, "wal drain s3", exitWrongInput, "node 1 has no WAL s3")
	says(t, "wal list --json", 0, `"used_bytes": 77`, `"volume": 1`)
}

// says runs a command and checks its exit code and output.
func says(t *testing.T, args string, code int, want ...string) {
	t.Helper()
	got, stdout, stderr := run("", strings.Fields(args)...)
	for _, w := range want {
		if !strings.Contains(stdout+stderr, w) {
			t.Errorf("sluice %s: no %q in\n%s%s", args, w, stdout, stderr)
		}
	}
	if got != code {
		t.Errorf("sluice %s: exit code %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
}

func TestClusterCommands(t *testing.T) {
	adminServer(t, false)
	says(t, "cluster describe", 0, "2 nodes, 1 topic, 2 partitions", "Controller: node 1 (a)", "PLAINTEXT=b:9092", "file:///b (local)", "No partition is moving", "2 partitions not available:", "node 1 has not opened it yet")
	says(t, "cluster drain b", 0, "Node 2 is draining and leads 0 partitions.")
	says(t, "cluster describe", 0, "draining")
	says(t, "cluster drain 2 --undo", 0, "Node 2 may lead partitions again.")
	says(t, "cluster drain 2 --wait", 0, "Node 2 leads 0 partitions.", "it can be stopped")
	says(t, "cluster undrain 2", 0, "Node 2 may lead partitions again.")
	says(t, "cluster drain 7", exitWrongInput, "there is no node 7")
	says(t, "partition move t 0 --to b", 0, "t-0 moves from node 1 to node 2.")
	says(t, "partition list t", 0, "node 2 has not opened it yet")
	says(t, "partition move t 0 9 --to b", exitFailed, "partition 9: there is no such partition")
	says(t, "partition move u --to b", exitFailed, `there is no topic "u"`)
	says(t, "partition move t", exitWrongInput, "give a node with --to, or --cancel")
	says(t, "partition list --limit 1", 0, "… and 1 more")
	says(t, "cluster compact", 0, "Node 1: 2 jobs done, 0 of them failed, 0 left; 8 objects read, 1 object made; 100 bytes read, 90 written.")
	says(t, "controller transfer --to b --wait", 0, "The controller is node 2 (a).")
	says(t, "cluster describe", 0, "Controller: node 2")
	says(t, "controller transfer --to c", exitWrongInput, "there is no node c")
	says(t, "cluster describe -a 127.0.0.1:1", exitFailed, "no broker answers at 127.0.0.1:1", "--admin-server")
	_, stdout, _ := run("", "cluster", "describe", "--json")
	var v admin.ClusterView
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || len(v.Nodes) != 2 {
		t.Errorf("%v\n%s", err, stdout)
	}
}

// A command that waits says how far it is and ends when it is done, here because the move is done, or called off, behind its back.
func TestWaiting(t *testing.T) {
	ctl := adminServer(t, true)
	topic, _ := ctl.Image().TopicByName("t")
	b, _ := ctl.Image().Node(2)
	says(t, "partition move t 0 --to b", 0)
	says(t, "partition list --moving", 0, "t      0          1       0      serving  2")
	says(t, "partition move t --cancel", exitFailed, "t-0 stays on node 1.", "partition 1: it is not moving")
	says(t, "partition move t 0 --to b --wait --wait-max 10ms", exitFailed, "0 of 1 partition served by node 2.", "not done after 10ms; it goes on.")

	var out output
	var wg sync.WaitGroup
	wg.Go(func() {
		if code := Main(Process{Args: strings.Fields("partition move t 0 --to b --wait"), Stdout: &out, Stderr: &out}); code != 0 {
			t.Errorf("exit code %d\n%s", code, out.String())
		}
	})
	a, _ := ctl.Image().Node(1)
	id := meta.PartitionID{Topic: topic.ID}
	for _, c := range []meta.Command{
		&meta.HandOver{Node: a.Ref(), Partitions: []meta.HandedOver{{Partition: id}}},
		&meta.ServePartitions{Node: b.Ref(), Partitions: []meta.EpochPartition{{Partition: id, Epoch: 1}}},
	} {
		if _, err := ctl.Submit(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if !strings.Contains(out.String(), "1 of 1 partition served by node 2.") {
		t.Errorf("%s", out.String())
	}
	says(t, "partition list t", 0, "serving")
}
