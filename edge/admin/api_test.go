package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/compact"
	"sluice/storage/objstore/mem"
)

// world is the pages on the real metadata machine.
type world struct {
	t     *testing.T
	ctl   *control.Controller
	pages http.Handler
	state state
	node  []meta.NodeRef
	topic base.UUID

	transferred []base.NodeID
}

// newWorld has three live nodes, the first of which is the controller and serves both partitions of topic t.
func newWorld(t *testing.T, wal string) *world {
	t.Helper()
	ctl, err := control.Start(t.Context(), control.Options{Store: mem.New(), Who: "here"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ctl.Close() })
	w := &world{t: t, ctl: ctl}
	w.pages = handler(Options{Gatherer: prometheus.NewRegistry()}, &w.state)
	for _, zone := range []string{"a", "b", "c"} {
		w.node = append(w.node, do[meta.Registered](w, &meta.Register{
			Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: "broker-" + zone, Zone: zone, WAL: wal,
			Endpoints: []meta.Endpoint{{Name: "PLAINTEXT", Host: "h", Port: 9092}},
		}).Node)
	}
	do[meta.Done](w, &meta.NameController{Node: w.node[0]})
	first := w.node[0].ID
	w.topic = do[meta.TopicsCreated](w, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: 2, Leaders: []base.NodeID{first, first}}}}).Topics[0].ID
	do[meta.PartitionsOpened](w, &meta.OpenPartitions{Node: w.node[0], ServeEmpty: true, Partitions: []meta.OpenPartition{
		{Partition: meta.PartitionID{Topic: w.topic, Index: 0}, Expected: -1}, {Partition: meta.PartitionID{Topic: w.topic, Index: 1}, Expected: -1},
	}})
	s := &Server{}
	s.Attach(Cluster{Node: first, Control: ctl, Transfer: func(_ context.Context, to base.NodeID) error {
		w.transferred = append(w.transferred, to)
		if to == w.node[2].ID {
			return errors.New("it would rather not")
		}
		do[meta.Done](w, &meta.NameController{Node: w.node[1]})
		return nil
	}})
	w.state.cluster.Store(s.state.cluster.Load())
	return w
}

// do submits a command that must not be refused.
func do[R any](w *world, c meta.Command) *R {
	w.t.Helper()
	res, err := control.Do[R](w.t.Context(), w.ctl, c)
	if err != nil {
		w.t.Fatalf("%s: %v", meta.CommandName(c), err)
	}
	return res
}

// ask sends a request and decodes the answer, or returns the error in it.
func (w *world) ask(method, path, body string, out any, headers ...string) (status int, failure string) {
	w.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.pages.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		var e ErrorAnswer
		if rec.Code != http.StatusForbidden {
			if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || e.Error == "" {
				w.t.Errorf("%s %s: %d with %q", method, path, rec.Code, rec.Body)
			}
		}
		return rec.Code, e.Error
	}
	if err := json.Unmarshal(rec.Body.Bytes(), out); err != nil {
		w.t.Fatalf("%s %s: %v in %s", method, path, err, rec.Body)
	}
	return rec.Code, ""
}

func (w *world) cluster() (v ClusterView) {
	w.t.Helper()
	if status, why := w.ask("GET", "/v1/cluster", "", &v); status != http.StatusOK {
		w.t.Fatalf("%d %s", status, why)
	}
	return v
}

// What GET /v1/cluster says follows the image: nodes and their states, who decides, what moves, and what waits and for whom.
func TestCluster(t *testing.T) {
	w := newWorld(t, "file:///mnt/wal?shared=true")
	first, second := w.node[0].ID, w.node[1].ID
	v := w.cluster()
	if len(v.Nodes) != 3 || v.Controller.Node != first || v.Topics != 1 || v.Partitions != 2 || v.Unavailable != 0 || v.Moving != 0 || v.AnsweredBy != first {
		t.Errorf("%+v", v)
	}
	if n := v.Nodes[0]; n.State != "live" || n.Led != 2 || n.Open != 4 || n.Zone != "a" || n.Endpoints["PLAINTEXT"] != "h:9092" || n.WALs[0].Local {
		t.Errorf("%+v", n)
	}
	do[meta.ObjectsPrepared](w, &meta.PrepareObjects{Node: w.node[0], Count: 3})
	do[meta.Outcomes](w, &meta.MovePartitions{Partitions: []meta.PartitionLeader{{Partition: meta.PartitionID{Topic: w.topic, Index: 1}, Leader: second}}})
	do[meta.Done](w, &meta.DrainNode{Node: w.node[0], Drain: true})
	v = w.cluster()
	if v.Objects["prepared"].Count != 3 || v.Moving != 1 || v.Moves[0].Partition != 1 || v.Moves[0].Target != second || v.Nodes[0].State != "draining" {
		t.Errorf("%+v", v)
	}
	reason := func(want string) {
		t.Helper()
		v := w.cluster()
		if v.Unavailable != 2 || !strings.Contains(v.Waiting[0].Reason, want) {
			t.Errorf("%d wait: %+v, want %q", v.Unavailable, v.Waiting, want)
		}
	}
	do[meta.Done](w, &meta.FenceNode{Node: w.node[0]})
	reason("waits for a node to rescue it")
	if v = w.cluster(); v.Nodes[0].State != "fenced" || len(v.Rescues) != 1 || v.Rescues[0].State != "pending" || v.Rescues[0].Rescuer != base.NoNode {
		t.Errorf("%+v", v.Rescues)
	}
	grant := do[meta.Granted](w, &meta.GrantRescue{Victim: w.node[0], Rescuer: w.node[1]}).Rescue.Grant
	reason("node " + second.String() + " rescues the WAL")
	do[meta.Done](w, &meta.CompleteRescue{Victim: w.node[0], Grant: grant})
	reason("is gone: the controller gives it to a live node")
	parts := []meta.PartitionLeader{{Partition: meta.PartitionID{Topic: w.topic, Index: 0}, Leader: second}, {Partition: meta.PartitionID{Topic: w.topic, Index: 1}, Leader: second}}
	do[meta.Outcomes](w, &meta.AssignPartitions{Partitions: parts})
	reason("node " + second.String() + " has not opened it yet")
	do[meta.PartitionsOpened](w, &meta.OpenPartitions{Node: w.node[1], Partitions: []meta.OpenPartition{
		{Partition: parts[0].Partition, Expected: 0}, {Partition: parts[1].Partition, Expected: 0},
	}})
	reason("is loading it")
	do[meta.Outcomes](w, &meta.ServePartitions{Node: w.node[1], Partitions: []meta.EpochPartition{{Partition: parts[0].Partition, Epoch: 1}, {Partition: parts[1].Partition, Epoch: 1}}})
	if v = w.cluster(); v.Unavailable != 0 {
		t.Errorf("%+v", v.Waiting)
	}
}

// Where the WAL is local to a node that is gone, the reason says what the operator has to do.
func TestLocalWALSaysWhatToDo(t *testing.T) {
	w := newWorld(t, "file:///var/wal")
	do[meta.Done](w, &meta.FenceNode{Node: w.node[0]})
	if v := w.cluster(); !v.Nodes[0].WALs[0].Local || !v.Rescues[0].WALLocal || !strings.Contains(v.Waiting[1].Reason, "local to it, file:///var/wal: start that node again") {
		t.Errorf("%+v", v.Waiting)
	}
	do[meta.Done](w, &meta.FenceNode{Node: w.node[2]})
	if v := w.cluster(); !slices.ContainsFunc(v.Rescues, func(r RescueView) bool { return strings.Contains(r.Reason, "nothing is left to rescue") }) {
		t.Errorf("%+v", v.Rescues)
	}
	for wal, local := range map[string]bool{"mem://x": true, "s3": false, "s3://b/p": false, "file:///d?capacity=1GiB&shared=true": false, "file:///d?shared=false": true, "": false} {
		if isLocal(wal) != local {
			t.Errorf("%q: want %v", wal, local)
		}
	}
}

func TestPartitions(t *testing.T) {
	w := newWorld(t, "s3")
	do[meta.Outcomes](w, &meta.MovePartitions{Partitions: []meta.PartitionLeader{{Partition: meta.PartitionID{Topic: w.topic, Index: 1}, Leader: w.node[2].ID}}})
	for query, want := range map[string][2]int{"": {2, 2}, "?topic=t&limit=1": {2, 1}, "?moving=true": {1, 1}, "?unavailable=true": {0, 0}, "?limit=0": {2, 0}} {
		var v PartitionsAnswer
		if status, why := w.ask("GET", "/v1/partitions"+query, "", &v); status != 200 || v.Total != want[0] || len(v.Partitions) != want[1] {
			t.Errorf("%q: %d %s %+v, want %v", query, status, why, v, want)
		}
	}
	for query, want := range map[string]int{"?topic=u": 404, "?limit=x": 400, "?limit=-1": 400} {
		if status, _ := w.ask("GET", "/v1/partitions"+query, "", nil); status != want {
			t.Errorf("%q: %d, want %d", query, status, want)
		}
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t, "s3")
	path := "/v1/nodes/" + w.node[1].ID.String() + "/drain"
	for _, drain := range []string{"true", "true", "false"} {
		var n NodeView
		if status, why := w.ask("POST", path, `{"drain":`+drain+`}`, &n); status != 200 || (n.State == "draining") != (drain == "true") {
			t.Errorf("%d %s %+v", status, why, n)
		}
	}
	do[meta.Done](w, &meta.FenceNode{Node: w.node[2]})
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/v1/nodes/77/drain", `{"drain":true}`, 404},
		{"/v1/nodes/x/drain", `{"drain":true}`, 400},
		{"/v1/nodes/" + w.node[2].ID.String() + "/drain", `{"drain":true}`, 409},
		{path, `{"drian":true}`, 400},
		{path, ``, 400},
		{path, `{"why":"` + strings.Repeat("x", bodyMax) + `"}`, 400},
	} {
		if status, why := w.ask("POST", c.path, c.body, nil); status != c.want {
			t.Errorf("%s %.40s: %d %s, want %d", c.path, c.body, status, why, c.want)
		}
	}
}

func TestMove(t *testing.T) {
	w := newWorld(t, "s3")
	third := w.node[2].ID.String()
	do[meta.Done](w, &meta.FenceNode{Node: w.node[1]})
	var v MoveAnswer
	move := func(body string, want ...string) {
		t.Helper()
		v = MoveAnswer{}
		if status, why := w.ask("POST", "/v1/partitions/move", body, &v); status != 200 || len(v.Partitions) != len(want) {
			t.Fatalf("%s: %d %s %+v", body, status, why, v)
		}
		for i, p := range v.Partitions {
			if (want[i] == "") != (p.Error == "") || !strings.Contains(p.Error, want[i]) {
				t.Errorf("%s: %+v, want %q", body, p, want[i])
			}
		}
	}
	move(`{"topic":"t","partitions":[1,7],"to":`+third+`}`, "", "no such partition")
	if p, _ := w.ctl.Image().Partition(w.topic, 1); p.Target != w.node[2].ID {
		t.Errorf("%+v", p)
	}
	move(`{"topic":"t","partitions":[0,1],"cancel":true}`, "is not moving", "")
	if n := w.cluster().Moving; n != 0 {
		t.Errorf("%d move after that was called off", n)
	}
	move(`{"topic":"t","to":`+third+`}`, "", "")
	move(`{"topic":"t","partitions":[0,0],"to":`+third+`}`, "", "twice")
	for body, want := range map[string]int{
		`{"topic":"u","to":` + third + `}`:                                404,
		`{"topic":"t","to":77}`:                                           404,
		`{"topic":"t"}`:                                                   404,
		`{"topic":"t","to":` + w.node[1].ID.String() + `}`:                409,
		`{"topic":"t","partitions":[0],"to":` + third + `,"cancel":true}`: 400,
	} {
		if status, why := w.ask("POST", "/v1/partitions/move", body, &v); status != want {
			t.Errorf("%s: %d %s, want %d", body, status, why, want)
		}
	}
}

func TestTransfer(t *testing.T) {
	w := newWorld(t, "s3")
	var c ControllerView
	if status, why := w.ask("POST", "/v1/controller/transfer", `{"to":`+w.node[0].ID.String()+`}`, &c); status != 200 || len(w.transferred) != 0 {
		t.Errorf("to the one that is it: %d %s %v", status, why, w.transferred)
	}
	if status, why := w.ask("POST", "/v1/controller/transfer", `{"to":`+w.node[2].ID.String()+`}`, nil); status != 500 || why != "it would rather not" {
		t.Errorf("%d %s", status, why)
	}
	do[meta.Done](w, &meta.DrainNode{Node: w.node[2], Drain: true})
	if status, why := w.ask("POST", "/v1/controller/transfer", `{}`, &c); status != 200 || c.Node != w.node[1].ID || w.transferred[1] != w.node[1].ID {
		t.Errorf("to any: %d %s %+v, asked for %v", status, why, c, w.transferred)
	}
	do[meta.Done](w, &meta.FenceNode{Node: w.node[0]})
	for body, want := range map[string]int{`{"to":77}`: 404, `{"to":` + w.node[0].ID.String() + `}`: 409, `{}`: 503} {
		if status, why := w.ask("POST", "/v1/controller/transfer", body, nil); status != want {
			t.Errorf("%s: %d %s, want %d", body, status, why, want)
		}
	}
	w.state.cluster.Store(&Cluster{Control: w.ctl})
	if status, _ := w.ask("POST", "/v1/controller/transfer", `{"to":`+w.node[2].ID.String()+`}`, nil); status != 503 {
		t.Errorf("without a way: %d", status)
	}
}

// A page of another site in a browser cannot change anything, and before the broker has joined there is nothing to change.
func TestWhoMayAsk(t *testing.T) {
	w := newWorld(t, "s3")
	path := "/v1/nodes/" + w.node[1].ID.String() + "/drain"
	if status, _ := w.ask("POST", path, `{"drain":true}`, nil, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"); status != http.StatusForbidden {
		t.Errorf("another site: %d", status)
	}
	if status, _ := w.ask("POST", path, `{"drain":true}`, nil, "Content-Type", "text/plain"); status != http.StatusBadRequest {
		t.Errorf("a form: %d", status)
	}
	if n := w.cluster().Nodes[1]; n.State != "live" {
		t.Errorf("%+v", n)
	}
	w.state.cluster.Store(nil)
	if status, _ := w.ask("GET", "/v1/cluster", "", nil); status != http.StatusServiceUnavailable {
		t.Errorf("before it has joined: %d", status)
	}
}

// POST /v1/compaction runs a round and says what it did, where that is possible.
func TestCompaction(t *testing.T) {
	w := newWorld(t, "s3")
	var v CompactionAnswer
	if status, why := w.ask("POST", "/v1/compaction", "{}", &v); status != http.StatusServiceUnavailable {
		t.Errorf("without compaction: %d %s", status, why)
	}
	c := *w.state.cluster.Load()
	failure := error(nil)
	c.Compact = func(context.Context) (compact.Report, error) {
		return compact.Report{Jobs: 3, Failed: 1, Left: 1, Replaced: 7, BytesRead: 5, Error: "it is damaged"}, failure
	}
	w.state.cluster.Store(&c)
	if status, why := w.ask("POST", "/v1/compaction", "{}", &v); status != http.StatusOK || v.Node != w.node[0].ID || v.Jobs != 3 || v.Failed != 1 || v.Rewritten != 7 || v.BytesRead != 5 || v.Error != "it is damaged" {
		t.Errorf("%d %s %+v", status, why, v)
	}
	failure = base.Errorf(base.Closed, "over")
	if status, _ := w.ask("POST", "/v1/compaction", "{}", &v); status != http.StatusServiceUnavailable {
		t.Errorf("of a broker that stops: %d", status)
	}
	if status, _ := w.ask("POST", "/v1/compaction", `{"all": true}`, &v); status != http.StatusBadRequest {
		t.Errorf("with what is not known: %d", status)
	}
}
