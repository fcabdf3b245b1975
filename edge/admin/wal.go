package admin

import (
	"context"
	"net/http"
	"strconv"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
)

// WALs is what a broker says of its own volumes, and does with them.
type WALs interface {
	// AddWAL gives the broker another WAL and returns when it is used.
	AddWAL(ctx context.Context, url string) (volume base.NodeEpoch, err error)
	// WALStatus says how full the volumes are, and how far the bucket is behind them.
	WALStatus() []WALStatus
}

// WALStatus is what only the broker that writes a volume knows of it.
type WALStatus struct {
	Of         base.NodeEpoch `json:"-"`              // the volume
	Capacity   int64          `json:"capacity_bytes"` // 0: without bound
	Used       int64          `json:"used_bytes"`     // not trimmed
	Unuploaded int64          `json:"unuploaded_bytes"`
	LagMS      int64          `json:"lag_ms"`           // age of the oldest block that is not in the bucket; 0 if there is none
	Failed     string         `json:"failed,omitempty"` // why it takes nothing any more: what is on it moves to the others, then it goes
}

// WALsAnswer is what GET /v1/wal answers: the volumes of the broker that was asked.
type WALsAnswer struct {
	Node base.NodeID `json:"node"`
	WALs []LocalWAL  `json:"wals"`
}

// LocalWAL is a volume of the broker that was asked.
type LocalWAL struct {
	WALView
	WALStatus
}

// AddWALRequest is the body of POST /v1/wal/add.
type AddWALRequest struct {
	URL string `json:"url"`
}

// DrainWALRequest is the body of POST /v1/nodes/{id}/wal/{volume}/drain.
type DrainWALRequest struct {
	Drain bool `json:"drain"`
}

// viewVolume shows a volume of a node.
func viewVolume(img *meta.Image, n *meta.Node, w meta.Volume) WALView {
	return WALView{
		Volume: w.Epoch, URL: w.URL, Class: w.Class(), Local: isLocal(w.URL), State: w.State.String(), Open: img.OpenStreams(meta.NodeRef{ID: n.ID, Epoch: w.Epoch}),
	}
}

func getWALs(c *Cluster, _ *http.Request) (any, error) {
	if c.WALs == nil {
		return nil, base.Errorf(base.Unavailable, "the broker is starting")
	}
	img := c.Control.Image()
	n, _ := img.Node(c.Node)
	out := WALsAnswer{Node: c.Node, WALs: []LocalWAL{}}
	for _, s := range c.WALs.WALStatus() {
		if v, ok := n.Volume(s.Of); ok {
			out.WALs = append(out.WALs, LocalWAL{viewVolume(img, &n, v), s})
		}
	}
	return out, nil
}

func postAddWAL(c *Cluster, r *http.Request) (any, error) {
	var req AddWALRequest
	if err := body(r, &req); err != nil {
		return nil, err
	}
	if c.WALs == nil {
		return nil, base.Errorf(base.Unavailable, "the broker is starting")
	}
	volume, err := c.WALs.AddWAL(r.Context(), req.URL)
	if err != nil {
		return nil, err
	}
	c.Logger.Info("an operator added a WAL", "volume", volume)
	img := c.Control.Image()
	n, _ := img.Node(c.Node)
	v, ok := n.Volume(volume)
	if !ok {
		return nil, base.Errorf(base.NotFound, "volume %d was removed meanwhile", volume)
	}
	return viewVolume(img, &n, v), nil
}

func postDrainWAL(c *Cluster, r *http.Request) (any, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "%q is no node id", r.PathValue("id"))
	}
	volume, err := strconv.ParseInt(r.PathValue("volume"), 10, 64)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "%q is no volume", r.PathValue("volume"))
	}
	var req DrainWALRequest
	if err := body(r, &req); err != nil {
		return nil, err
	}
	n, ok := c.Control.Image().Node(base.NodeID(id))
	if !ok {
		return nil, base.Errorf(base.NotFound, "there is no node %d", id)
	}
	state := meta.VolumeActive
	if req.Drain {
		state = meta.VolumeDraining
	}
	if _, err := control.Do[meta.Done](r.Context(), c.Control, &meta.SetVolume{Node: n.Ref(), Volume: base.NodeEpoch(volume), State: state}); err != nil {
		return nil, err
	}
	c.Logger.Info("an operator changed whether a WAL is drained", "node", id, "volume", volume, "drain", req.Drain)
	img := c.Control.Image()
	n, _ = img.Node(n.ID)
	v, ok := n.Volume(base.NodeEpoch(volume))
	if !ok { // it was empty
		v = meta.Volume{Epoch: base.NodeEpoch(volume), State: meta.VolumeDraining}
	}
	return viewVolume(img, &n, v), nil
}
