package admin

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"sluice/base"
	"sluice/cluster/meta"
)

// ClusterView is what GET /v1/cluster answers: the cluster as one image shows it. Times are Unix milliseconds, sizes bytes.
type ClusterView struct {
	ID          string               `json:"id"`
	AnsweredBy  base.NodeID          `json:"answered_by"`
	Position    base.MetaPos         `json:"position"` // of the image
	Controller  ControllerView       `json:"controller"`
	Nodes       []NodeView           `json:"nodes"`
	Topics      int                  `json:"topics"`
	Partitions  int                  `json:"partitions"`
	Objects     map[string]TotalView `json:"objects"` // by state: prepared, committed, destroying
	Rescues     []RescueView         `json:"rescues"`
	Moving      int                  `json:"moving"`      // partitions that are to move; Moves has the first of them
	Moves       []PartitionView      `json:"moves"`       // at most listMax
	Unavailable int                  `json:"unavailable"` // partitions that nobody serves; Waiting has the first of them
	Waiting     []PartitionView      `json:"waiting"`     // at most listMax
}

// ControllerView says who decides.
type ControllerView struct {
	Node  base.NodeID `json:"node"` // -1: it has not registered yet
	Epoch uint64      `json:"epoch"`
	Who   string      `json:"who"`
}

// NodeView is one node.
type NodeView struct {
	ID         base.NodeID       `json:"id"`
	Epoch      base.NodeEpoch    `json:"epoch"`
	Name       string            `json:"name"`
	Zone       string            `json:"zone"`
	State      string            `json:"state"`     // live, draining or fenced
	Endpoints  map[string]string `json:"endpoints"` // HOST:PORT by listener
	WALs       []WALView         `json:"wals"`
	Led        int               `json:"led"`          // partitions whose leader it is
	Open       int               `json:"open_streams"` // two for each partition that it has open
	Registered int64             `json:"registered_ms"`
}

// WALView is one volume of a node, a WAL.
type WALView struct {
	Volume base.NodeEpoch `json:"volume"` // names it
	URL    string         `json:"url"`
	Class  string         `json:"class"`        // file or s3
	Local  bool           `json:"local"`        // no other node can read it
	State  string         `json:"state"`        // active, preparing or draining
	Open   int            `json:"open_streams"` // two for each partition that is on it
}

// TotalView sums up objects.
type TotalView struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"` // a prepared object counts 0: its size is not known yet
}

// RescueView is what remains of a node epoch that was fenced.
type RescueView struct {
	Node     base.NodeID    `json:"node"`
	Epoch    base.NodeEpoch `json:"epoch"`
	Name     string         `json:"name"`
	State    string         `json:"state"`   // pending, granted or done
	Rescuer  base.NodeID    `json:"rescuer"` // -1: nobody
	FencedMS int64          `json:"fenced_ms"`
	WAL      string         `json:"wal"`
	WALLocal bool           `json:"wal_local"`
	Reason   string         `json:"reason"`
}

// PartitionView is one partition.
type PartitionView struct {
	Topic     string           `json:"topic"`
	Partition int32            `json:"partition"`
	Leader    base.NodeID      `json:"leader"` // -1: nobody
	Epoch     base.StreamEpoch `json:"epoch"`
	State     string           `json:"state"`            // assigned, opening or serving
	Target    base.NodeID      `json:"target"`           // where it is to move; -1: nowhere
	Reason    string           `json:"reason,omitempty"` // why nobody serves it; empty if somebody does
}

// listMax bounds the lists of a ClusterView.
const listMax = 100

// viewCluster shows the cluster in an image.
func viewCluster(img *meta.Image, answeredBy base.NodeID) *ClusterView {
	c := img.Controller()
	v := &ClusterView{
		ID: img.ClusterID().String(), AnsweredBy: answeredBy, Position: img.Pos(), Controller: ControllerView{c.Node, c.Epoch, c.Who},
		Topics: img.TopicCount(), Partitions: img.PartitionCount(), Objects: map[string]TotalView{},
		Nodes: []NodeView{}, Rescues: []RescueView{}, Moves: []PartitionView{}, Waiting: []PartitionView{},
	}
	for n := range img.Nodes() {
		v.Nodes = append(v.Nodes, viewNode(img, n))
	}
	for _, s := range []meta.ObjectState{meta.Prepared, meta.Committed, meta.Destroying} {
		v.Objects[s.String()] = TotalView{}
	}
	for o := range img.Objects() {
		t := v.Objects[o.State.String()]
		t.Count, t.Bytes = t.Count+1, t.Bytes+o.Size
		v.Objects[o.State.String()] = t
	}
	for r := range img.Rescues() {
		v.Rescues = append(v.Rescues, viewRescue(img, r))
	}
	for t := range img.Topics() {
		for p := range img.PartitionsOf(t.ID) {
			v.count(viewPartition(img, t.Name, p))
		}
	}
	return v
}

// count puts a partition where it belongs.
func (v *ClusterView) count(p PartitionView) {
	if p.Target != base.NoNode {
		if v.Moving++; len(v.Moves) < listMax {
			v.Moves = append(v.Moves, p)
		}
	}
	if p.Reason != "" {
		if v.Unavailable++; len(v.Waiting) < listMax {
			v.Waiting = append(v.Waiting, p)
		}
	}
}

func viewNode(img *meta.Image, n meta.Node) NodeView {
	v := NodeView{
		ID: n.ID, Epoch: n.Epoch, Name: n.Name, Zone: n.Zone, State: "live", Endpoints: map[string]string{}, WALs: []WALView{},
		Led: img.Led(n.ID), Open: img.OpenOn(&n), Registered: n.RegisteredMS,
	}
	for _, w := range n.Volumes {
		v.WALs = append(v.WALs, viewVolume(img, &n, w))
	}
	switch {
	case n.Fenced:
		v.State = "fenced"
	case n.Draining:
		v.State = "draining"
	}
	for _, e := range n.Endpoints {
		v.Endpoints[e.Name] = net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
	}
	return v
}

func viewRescue(img *meta.Image, r meta.Rescue) RescueView {
	v := RescueView{
		Node: r.Victim.ID, Epoch: r.Victim.Epoch, Name: r.Name, State: r.State.String(), Rescuer: base.NoNode, FencedMS: r.FencedMS, WAL: r.WAL,
		WALLocal: isLocal(r.WAL), Reason: rescueReason(img, r),
	}
	if r.State == meta.RescueGranted {
		v.Rescuer = r.Rescuer.ID
	}
	return v
}

func viewPartition(img *meta.Image, topic string, p meta.Partition) PartitionView {
	return PartitionView{
		Topic: topic, Partition: p.Index, Leader: p.Leader, Epoch: p.LeaderEpoch, State: p.State.String(), Target: p.Target, Reason: waitsFor(img, p),
	}
}

// waitsFor says what a partition that nobody serves is waiting for, empty if it is served.
func waitsFor(img *meta.Image, p meta.Partition) string {
	n, known := img.Node(p.Leader)
	live := known && !n.Fenced
	if live && p.State == meta.Serving {
		return ""
	}
	if held := heldBy(img, p); held != "" {
		return held
	}
	switch {
	case live && p.State == meta.Opening:
		return fmt.Sprintf("node %d is loading it", n.ID)
	case live:
		return fmt.Sprintf("node %d has not opened it yet", n.ID)
	case p.Leader == base.NoNode:
		return "it has no leader: the controller gives it to a live node"
	}
	return fmt.Sprintf("node %d is gone: the controller gives it to a live node", p.Leader)
}

// heldBy says who still has to close the streams of a partition before another node can open it, empty if nobody does.
func heldBy(img *meta.Image, p meta.Partition) string {
	for _, id := range []base.StreamID{p.Data, p.Meta} {
		s, ok := img.Stream(id)
		owner := meta.NodeRef{ID: s.Owner, Epoch: s.OwnerEpoch}
		if !ok || s.State == meta.Closed || img.Current(owner) && s.Owner == p.Leader {
			continue
		}
		if r, ok := img.Rescue(owner); ok {
			return rescueReason(img, r)
		}
		return fmt.Sprintf("node %d has not closed it yet", s.Owner)
	}
	return ""
}

// rescueReason says how a rescue stands.
func rescueReason(img *meta.Image, r meta.Rescue) string {
	switch {
	case isLocal(r.WAL) && !lives(img, r.Victim.ID) && img.OpenStreams(r.Victim) == 0:
		return fmt.Sprintf("nothing is left to rescue in the WAL of node %d, which is local to it: it goes when that node starts again, or is unregistered", r.Victim.ID)
	case r.State == meta.RescueDone:
		return fmt.Sprintf("the WAL of node %d is rescued and will be removed", r.Victim.ID)
	case r.State == meta.RescueGranted:
		return fmt.Sprintf("node %d rescues the WAL of node %d", r.Rescuer.ID, r.Victim.ID)
	case isLocal(r.WAL) && !img.Current(r.Victim) && !lives(img, r.Victim.ID):
		return fmt.Sprintf("the WAL of node %d is local to it, %s: start that node again with this directory", r.Victim.ID, r.WAL)
	}
	return fmt.Sprintf("the WAL of node %d waits for a node to rescue it", r.Victim.ID)
}

func lives(img *meta.Image, id base.NodeID) bool {
	n, ok := img.Node(id)
	return ok && !n.Fenced
}

// isLocal reports whether only the node whose WAL it is can read it.
func isLocal(wal string) bool {
	scheme, rest, _ := strings.Cut(wal, "://")
	_, query, _ := strings.Cut(rest, "?")
	return scheme == "mem" || scheme == "file" && !strings.Contains("&"+query+"&", "&shared=true&")
}
