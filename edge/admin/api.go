package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/compact"
)

// Cluster is what the pages below /v1/ work with.
type Cluster struct {
	Node    base.NodeID // this one
	Control control.Client
	// Transfer has a live node become the controller and returns when it is. Nil: not possible here.
	Transfer func(ctx context.Context, to base.NodeID) error
	// Cost says what the cluster asks its stores for and what that costs. Nil: not known here.
	Cost func(ctx context.Context) (*CostView, error)
	// Compact runs a round of compaction of what this node looks after. Nil: not possible here.
	Compact func(ctx context.Context) (compact.Report, error)
	WALs    WALs         // of this broker
	Logger  *slog.Logger // nil: none
}

// DrainRequest is the body of POST /v1/nodes/{id}/drain.
type DrainRequest struct {
	Drain bool   `json:"drain"`
	Why   string `json:"why,omitempty"`
}

// MoveRequest is the body of POST /v1/partitions/move: a topic's partitions, or all of them if none is named, are to be led by To;
// with Cancel, moves of them that have not been done are called off.
type MoveRequest struct {
	Topic      string      `json:"topic"`
	Partitions []int32     `json:"partitions,omitempty"`
	To         base.NodeID `json:"to"`
	Cancel     bool        `json:"cancel,omitempty"`
}

// MoveAnswer says what became of each partition.
type MoveAnswer struct {
	Partitions []MovedView `json:"partitions"`
}

// MovedView is a partition that was asked to move.
type MovedView struct {
	Partition int32       `json:"partition"`
	From      base.NodeID `json:"from"`
	Error     string      `json:"error,omitempty"` // why it will not move; empty: it will, or has
}

// TransferRequest is the body of POST /v1/controller/transfer; without To any other node.
type TransferRequest struct {
	To *base.NodeID `json:"to,omitempty"`
}

// PartitionsAnswer is what GET /v1/partitions answers.
type PartitionsAnswer struct {
	Total      int             `json:"total"` // how many match
	Partitions []PartitionView `json:"partitions"`
}

// ErrorAnswer is the body of every answer that is not 200.
type ErrorAnswer struct {
	Error string `json:"error"`
	Kind  string `json:"kind"`
}

const (
	bodyMax      = 1 << 20 // bytes of a request: a list of all partitions of a topic fits
	partitionMax = 10_000  // partitions in an answer, unless another limit is asked for
)

// page answers one request: a value to show, or an error.
type page func(c *Cluster, r *http.Request) (any, error)

// api are the pages below /v1/.
var api = map[string]page{
	"GET /v1/cluster":                        getCluster,
	"GET /v1/partitions":                     getPartitions,
	"GET /v1/cost":                           getCost,
	"POST /v1/nodes/{id}/drain":              postDrain,
	"POST /v1/partitions/move":               postMove,
	"POST /v1/controller/transfer":           postTransfer,
	"POST /v1/compaction":                    postCompaction,
	"GET /v1/wal":                            getWALs,
	"POST /v1/wal/add":                       postAddWAL,
	"POST /v1/nodes/{id}/wal/{volume}/drain": postDrainWAL,
}

// serve makes a handler of a page.
func (s *state) serve(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := s.cluster.Load()
		if c == nil {
			answer(w, nil, base.Errorf(base.Unavailable, "the broker has not joined the cluster yet"))
			return
		}
		v, err := p(c, r)
		answer(w, v, err)
	}
}

// answer writes v, or what err says.
func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		w.WriteHeader(statusOf(err))
		v = ErrorAnswer{err.Error(), base.KindOf(err).String()}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the client is gone
}

func statusOf(err error) int {
	switch base.KindOf(err) {
	case base.Invalid:
		return http.StatusBadRequest
	case base.NotFound:
		return http.StatusNotFound
	case base.Exists, base.Fenced, base.OutOfRange:
		return http.StatusConflict
	case base.Unavailable, base.Closed, base.Full:
		return http.StatusServiceUnavailable
	case base.Undetermined:
		return http.StatusGatewayTimeout
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// body reads the JSON body of a POST. A page in a browser cannot send one without being asked first, for the type is not a form's.
func body(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return base.Errorf(base.Invalid, "send JSON, with Content-Type: application/json")
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, bodyMax+1))
	switch {
	case err != nil:
		return base.Wrap(base.Invalid, err)
	case len(b) > bodyMax:
		return base.Errorf(base.Invalid, "the request is longer than %d bytes", bodyMax)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return base.Errorf(base.Invalid, "the request is not what was expected: %v", err)
	}
	return nil
}

func getCluster(c *Cluster, _ *http.Request) (any, error) {
	return viewCluster(c.Control.Image(), c.Node), nil
}

// getPartitions lists partitions: topic=NAME, moving=true, unavailable=true, limit=N.
func getPartitions(c *Cluster, r *http.Request) (any, error) {
	img, q, limit := c.Control.Image(), r.URL.Query(), partitionMax
	if text := q.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 0 {
			return nil, base.Errorf(base.Invalid, "limit=%s: want a number", text)
		}
	}
	if name := q.Get("topic"); name != "" {
		if _, ok := img.TopicByName(name); !ok {
			return nil, base.Errorf(base.NotFound, "there is no topic %q", name)
		}
	}
	out := PartitionsAnswer{Partitions: []PartitionView{}}
	for t := range img.Topics() {
		if name := q.Get("topic"); name != "" && name != t.Name {
			continue
		}
		for p := range img.PartitionsOf(t.ID) {
			v := viewPartition(img, t.Name, p)
			if q.Get("moving") == "true" && v.Target == base.NoNode || q.Get("unavailable") == "true" && v.Reason == "" {
				continue
			}
			if out.Total++; len(out.Partitions) < limit {
				out.Partitions = append(out.Partitions, v)
			}
		}
	}
	return out, nil
}

func postDrain(c *Cluster, r *http.Request) (any, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "%q is no node id", r.PathValue("id"))
	}
	var req DrainRequest
	if err := body(r, &req); err != nil {
		return nil, err
	}
	n, ok := c.Control.Image().Node(base.NodeID(id))
	switch {
	case !ok:
		return nil, base.Errorf(base.NotFound, "there is no node %d", id)
	case n.Fenced:
		return nil, base.Errorf(base.Exists, "node %d is fenced: it leads nothing", id)
	}
	if req.Why == "" {
		req.Why = "an operator asked for it"
	}
	if _, err := control.Do[meta.Done](r.Context(), c.Control, &meta.DrainNode{Node: n.Ref(), Drain: req.Drain, Why: req.Why}); err != nil {
		return nil, err
	}
	c.Logger.Info("an operator changed whether a node is drained", "node", id, "drain", req.Drain)
	img := c.Control.Image()
	if n, ok = img.Node(n.ID); !ok {
		return nil, base.Errorf(base.NotFound, "node %d was unregistered meanwhile", id)
	}
	return viewNode(img, n), nil
}

func postMove(c *Cluster, r *http.Request) (any, error) {
	req := MoveRequest{To: base.NoNode}
	if err := body(r, &req); err != nil {
		return nil, err
	}
	img := c.Control.Image()
	t, ok := img.TopicByName(req.Topic)
	if !ok {
		return nil, base.Errorf(base.NotFound, "there is no topic %q", req.Topic)
	}
	n, ok := img.Node(req.To)
	switch {
	case req.Cancel && req.To != base.NoNode:
		return nil, base.Errorf(base.Invalid, "either a node to move to, or cancel")
	case !req.Cancel && !ok:
		return nil, base.Errorf(base.NotFound, "there is no node %d", req.To)
	case !req.Cancel && n.Fenced:
		return nil, base.Errorf(base.Exists, "node %d is fenced: nothing can be moved to it", req.To)
	}
	if len(req.Partitions) == 0 {
		for i := range t.Partitions {
			req.Partitions = append(req.Partitions, i)
		}
	}
	out := MoveAnswer{Partitions: []MovedView{}}
	var moves []meta.PartitionLeader
	var where []int // in out, of each of moves
	for _, index := range req.Partitions {
		v, to := MovedView{Partition: index, From: base.NoNode}, req.To
		if p, ok := img.Partition(t.ID, index); !ok {
			v.Error = "there is no such partition"
		} else if v.From = p.Leader; req.Cancel && p.Target == base.NoNode {
			v.Error = "it is not moving"
		} else {
			if req.Cancel {
				to = p.Leader
			}
			moves, where = append(moves, meta.PartitionLeader{Partition: meta.PartitionID{Topic: t.ID, Index: index}, Leader: to}), append(where, len(out.Partitions))
		}
		out.Partitions = append(out.Partitions, v)
	}
	return out, submitMoves(r.Context(), c, moves, func(i int, rej *meta.Rejection) { out.Partitions[where[i]].Error = rej.Message })
}

// submitMoves asks the controller for moves, as many commands as it takes, and tells which were refused.
func submitMoves(ctx context.Context, c *Cluster, moves []meta.PartitionLeader, refused func(int, *meta.Rejection)) error {
	done := 0
	for chunk := range slices.Chunk(moves, meta.MaxCommandPartitions) {
		res, err := control.Do[meta.Outcomes](ctx, c.Control, &meta.MovePartitions{Partitions: chunk})
		if err != nil {
			return err
		}
		for i, rej := range res.Errs {
			if rej != nil {
				refused(done+i, rej)
			}
		}
		done += len(chunk)
	}
	return nil
}

func postTransfer(c *Cluster, r *http.Request) (any, error) {
	var req TransferRequest
	if err := body(r, &req); err != nil {
		return nil, err
	}
	to, err := successor(c.Control.Image(), req.To)
	switch {
	case err != nil:
		return nil, err
	case c.Transfer == nil:
		return nil, base.Errorf(base.Unavailable, "this broker cannot hand the controller over")
	case to != c.Control.Image().Controller().Node:
		if err := c.Transfer(r.Context(), to); err != nil {
			return nil, err
		}
		c.Logger.Info("an operator had the controller transferred", "to", to)
	}
	now := c.Control.Image().Controller()
	return ControllerView{now.Node, now.Epoch, now.Who}, nil
}

// successor returns the node that is to be the controller: the one asked for, or the live one that leads least and is not it now.
func successor(img *meta.Image, asked *base.NodeID) (base.NodeID, error) {
	if asked != nil {
		switch n, ok := img.Node(*asked); {
		case !ok:
			return base.NoNode, base.Errorf(base.NotFound, "there is no node %d", *asked)
		case n.Fenced:
			return base.NoNode, base.Errorf(base.Exists, "node %d is fenced: it cannot be the controller", *asked)
		}
		return *asked, nil
	}
	to := base.NoNode
	for n := range img.Nodes() {
		if !n.Fenced && !n.Draining && n.ID != img.Controller().Node && (to == base.NoNode || img.Led(n.ID) < img.Led(to)) {
			to = n.ID
		}
	}
	if to == base.NoNode {
		return to, base.Errorf(base.Unavailable, "there is no other node that lives and is not being drained")
	}
	return to, nil
}

// CompactionAnswer is what POST /v1/compaction answers: what a round did, of what the node that answers looks after.
type CompactionAnswer struct {
	Node         base.NodeID `json:"node"`
	Jobs         int         `json:"jobs"`
	Failed       int         `json:"failed"`
	Left         int         `json:"left"` // jobs that remain to be done
	Rewritten    int         `json:"rewritten"`
	Skipped      int         `json:"skipped"`
	ObjectsRead  int         `json:"objectsRead"`
	ObjectsMade  int         `json:"objectsMade"`
	BytesRead    int64       `json:"bytesRead"`
	BytesWritten int64       `json:"bytesWritten"`
	Error        string      `json:"error,omitempty"` // of the last job that failed
}

// postCompaction runs a round now. It ends when there is nothing left to do, which may take long; a client that goes away does not end it.
func postCompaction(c *Cluster, r *http.Request) (any, error) {
	if err := body(r, &struct{}{}); err != nil {
		return nil, err
	}
	if c.Compact == nil {
		return nil, base.Errorf(base.Unavailable, "this broker does not compact")
	}
	rep, err := c.Compact(r.Context())
	if err != nil {
		return nil, err
	}
	return CompactionAnswer{
		Node: c.Node, Jobs: rep.Jobs, Failed: rep.Failed, Left: rep.Left, Rewritten: rep.Replaced, Skipped: rep.Skipped, ObjectsRead: rep.ObjectsRead,
		ObjectsMade: rep.ObjectsMade, BytesRead: rep.BytesRead, BytesWritten: rep.BytesWritten, Error: rep.Error,
	}, nil
}
