package node

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/edge/admin"
	"sluice/storage/objstore"
	"sluice/storage/stream"
	"sluice/storage/wal"
	"sluice/storage/wal/commit"
)

// volume is one WAL of this node, and the engine on it.
type volume struct {
	ref    meta.NodeRef // this node, and the epoch that names the volume
	url    string
	number int // of this process's WALs; the label of its metrics
	log    wal.Log
	engine *stream.Engine
	gauges []prometheus.Collector
	gone   atomic.Bool           // it is being given up: a failure of it is none of the node's
	fault  atomic.Pointer[error] // why its WAL takes nothing any more; see failure.go
}

// volumes are those that this process has open.
type volumes struct {
	set    *stream.Set
	news   chan struct{} // something about them may have changed
	coming sync.Mutex    // held while a volume is added, however long its disk takes; taken before mu
	mu     sync.Mutex    // protects open
	open   []*volume
	last   int // number of the next one; protected by coming
}

func (v *volumes) all() []*volume {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]*volume(nil), v.open...)
}

// String names the places of the volumes, without credentials.
func (v *volumes) String() string {
	var places []string
	for _, o := range v.all() {
		places = append(places, o.log.String())
	}
	return strings.Join(places, ", ")
}

// openWALs makes the WALs of the new epoch and the engines on them: the one that the node registered with, then the others.
func (n *Node) openWALs(ctx context.Context) error {
	n.volumes.coming.Lock()
	defer n.volumes.coming.Unlock()
	n.volumes.set, n.volumes.news = stream.NewSet(), make(chan struct{}, 1)
	n.failedVolumes = prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_wal_volumes_failed_total", Help: "WALs that this broker has taken out of service because they failed, and goes on without."})
	n.opt.Registry.MustRegister(n.failedVolumes)
	_, err := n.openVolumeLocked(ctx, n.self, n.places.wals[0])
	if base.IsKind(err, base.Exists) { // epochs are given once: somebody has rescued this one
		return base.Errorf(base.Fenced, "node epoch %v was given up before its WAL began: %w", n.self, err)
	}
	if err != nil {
		return err
	}
	for _, url := range n.places.wals[1:] {
		if _, err := n.addVolumeLocked(ctx, url); err != nil {
			return err
		}
	}
	return nil
}

// addVolumeLocked gives this node another WAL: it gets an epoch, is made, and is used from then on.
func (n *Node) addVolumeLocked(ctx context.Context, url string) (*volume, error) {
	// The metadata refuses this too: here, before anything looks at the directory.
	for _, v := range n.volumes.all() {
		if v.url != url && meta.WALPlace(v.url) == meta.WALPlace(url) {
			return nil, base.Errorf(base.Exists, "volume %d is there, with other options, at %s: drain that one first", v.ref.Epoch, v.url)
		}
	}
	if err := n.claimWAL(ctx, url); err != nil {
		return nil, fmt.Errorf("prepare the WAL %s for node %v: %w", url, n.self.ID, err)
	}
	added, err := control.Do[meta.VolumeAdded](ctx, n.member, &meta.AddVolume{Node: n.self, URL: url})
	if err != nil {
		return nil, fmt.Errorf("add the WAL %s: %w", url, err)
	}
	ref := meta.NodeRef{ID: n.self.ID, Epoch: added.Epoch}
	for _, v := range n.volumes.all() {
		if v.ref == ref {
			return v, nil // it is there
		}
	}
	v, err := n.openVolumeLocked(ctx, ref, url)
	if err != nil {
		n.dropVolume(ref)
		return nil, err
	}
	if _, err := n.member.Submit(ctx, &meta.SetVolume{Node: n.self, Volume: ref.Epoch, State: meta.VolumeActive, Made: true}); err != nil {
		return nil, fmt.Errorf("use the WAL %s: %w", url, err)
	}
	n.log.Info("WAL added", "volume", ref.Epoch, "wal", v.log)
	return v, nil
}

// claimWAL makes a directory ready for use by this node, unless it is that of another node of the cluster.
func (n *Node) claimWAL(ctx context.Context, url string) error {
	defer n.slowDisk(url)()
	img := n.member.Image()
	was, err := wal.Identify(ctx, url, wal.Options{FS: n.files()})
	if _, known := img.Node(was.Node); err == nil && ownWAL(url) && was.Node != n.self.ID && known {
		return base.Errorf(base.Invalid, "it belongs to node %v", was.Node)
	}
	return prepareWAL(ctx, n.files(), url, identity{img.ClusterID(), n.self.ID}, n.incarnation)
}

// dropVolume takes a volume out of the metadata that could not be made; what fails here is left as preparing, which does no harm.
func (n *Node) dropVolume(ref meta.NodeRef) {
	ctx, cancel := context.WithTimeout(context.Background(), abandonTimeout)
	defer cancel()
	if _, err := n.member.Submit(ctx, &meta.RemoveVolume{Node: n.self, Volume: ref.Epoch}); err != nil {
		n.log.Warn("a WAL that could not be made is still in the metadata", "volume", ref.Epoch, "error", err)
	}
}

// openVolumeLocked makes a WAL and the engine on it.
func (n *Node) openVolumeLocked(ctx context.Context, ref meta.NodeRef, url string) (*volume, error) {
	defer n.slowDisk(url)()
	if err := wal.Probe(ctx, url, n.walOptions()); err != nil {
		return nil, fmt.Errorf("WAL %s: %w", url, err)
	}
	v := &volume{ref: ref, url: url, number: n.volumes.last, engine: n.newEngine(stream.NodeRef(ref))}
	n.volumes.last++
	opt := n.walOptions()
	opt.Node, opt.Epoch = ref.ID, ref.Epoch
	opt.OnBlock, opt.OnRoom, opt.OnFull = v.engine.OnBlock, v.engine.OnRoom, v.engine.OnFull
	opt.OnFailed = func(err error) { n.walFailed(v, err) }
	opt.Registerer, opt.Volume = n.opt.Registry, v.number
	log, err := wal.Create(ctx, url, opt)
	if err != nil {
		v.engine.Abandon()
		return nil, fmt.Errorf("WAL %s: %w", url, err)
	}
	v.log = log
	v.engine.Start(log)
	n.registerVolume(v)
	n.volumes.mu.Lock()
	n.volumes.open = append(n.volumes.open, v)
	n.volumes.mu.Unlock()
	n.volumes.set.Add(v.engine)
	return v, nil
}

// slowDisk warns, unless what it returns is called before, that the disk of a WAL that is to be opened does not answer. There is nobody yet who would be helped by
// giving it up, so who starts a broker, or adds a WAL, waits.
func (n *Node) slowDisk(url string) (over func()) {
	timeout := n.opt.Config.WALStallTimeout
	if timeout == 0 || wal.InStore(url) {
		return func() {}
	}
	t := time.AfterFunc(timeout/5, func() { n.log.Warn("the disk of a WAL does not answer; still waiting to open it", "wal", url) })
	return func() { t.Stop() }
}

// newEngine returns the engine of a volume; they share memory.
func (n *Node) newEngine(ref stream.NodeRef) *stream.Engine {
	catalog := control.NewCatalog(n.member, ref)
	if open := n.volumes.all(); len(open) > 0 {
		return open[0].engine.Beside(ref, catalog)
	}
	c, mem := n.opt.Config, n.opt.Memory
	return stream.New(stream.Options{
		Cluster: n.member.Image().ClusterID(), Node: ref, Store: n.store, Catalog: catalog, Pool: &n.pool,
		WALCacheBytes: int64(mem.WALCache), BlockCacheBytes: int64(mem.Blocks),
		UploadBytes: int64(mem.Upload), UploadEvery: c.UploadInterval, SOBytes: int64(c.StreamObjectBytes),
		OnFailed: n.fail, Logger: n.log, Registerer: n.opt.Registry,
	})
}

// registerVolume exposes how far the bucket is behind the WAL.
func (n *Node) registerVolume(v *volume) {
	gauge := func(name, help string, value func() float64) {
		g := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "wal", Name: name, Help: help,
			ConstLabels: commit.Labels(meta.WALClass(v.url), v.number)}, value)
		n.opt.Registry.MustRegister(g)
		v.gauges = append(v.gauges, g)
	}
	gauge("unuploaded_bytes", "Memory of blocks in the WAL that are not in the bucket.", func() float64 {
		bytes, _ := v.engine.Lag()
		return float64(bytes)
	})
	gauge("upload_lag_seconds", "Age of the oldest block in the WAL that is not in the bucket; 0 if there is none.", func() float64 { return v.lag().Seconds() })
	gauge("open_streams", "Streams that are open on the WAL.", func() float64 { return float64(n.member.Image().OpenStreams(v.ref)) })
}

func (v *volume) lag() time.Duration {
	if _, since := v.engine.Lag(); !since.IsZero() {
		return time.Since(since)
	}
	return 0
}

// close ends a volume: what is in its WAL and not in the bucket has to be rescued.
func (n *Node) closeVolume(ctx context.Context, v *volume) {
	v.gone.Store(true)
	v.engine.Abandon()
	if err := v.log.Close(ctx); err != nil {
		n.log.Warn("close a WAL", "wal", v.log, "error", err)
	}
	for _, g := range v.gauges {
		n.opt.Registry.Unregister(g)
	}
}

// removeVolume gives up a volume on which nothing is open, and that is draining. Everything in it is in the bucket before it is taken out of the
// metadata; its files or slots are removed by a rescue.
func (n *Node) removeVolume(ctx context.Context, v *volume) error {
	if err := v.engine.Flush(ctx); err != nil {
		return fmt.Errorf("upload what is in the WAL %s: %w", v.log, err)
	}
	v.gone.Store(true)
	if _, err := n.member.Submit(ctx, &meta.RemoveVolume{Node: n.self, Volume: v.ref.Epoch}); err != nil {
		v.gone.Store(false)
		return fmt.Errorf("remove the WAL %s: %w", v.log, err)
	}
	n.volumes.set.Remove(v.ref.Epoch)
	n.volumes.mu.Lock()
	for i, o := range n.volumes.open {
		if o == v {
			n.volumes.open = append(n.volumes.open[:i:i], n.volumes.open[i+1:]...)
			break
		}
	}
	n.volumes.mu.Unlock()
	n.closeVolume(ctx, v)
	n.log.Info("WAL removed", "volume", v.ref.Epoch, "wal", v.log)
	return nil
}

// changed has the loop look at the volumes again.
func (v *volumes) changed() {
	select {
	case v.news <- struct{}{}:
	default:
	}
}

// watchVolumes drains volumes whose WALs have failed, and gives up volumes that drain as soon as nothing is open on them.
func (n *Node) watchVolumes() {
	unsubscribe := n.member.Subscribe(func(_, _ *meta.Image) { n.volumes.changed() })
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() {
		for ctx.Err() == nil {
			var retry <-chan time.Time
			if err := n.drainFailed(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn("a WAL that has failed cannot be drained; will be tried again", "error", err)
				retry = time.After(time.Second)
			}
			for _, v := range n.drainedVolumes() {
				if err := n.removeVolume(ctx, v); err != nil && ctx.Err() == nil {
					n.log.Warn("a WAL that is drained cannot be removed; will be tried again", "volume", v.ref.Epoch, "error", err)
					retry = time.After(time.Second)
				}
			}
			select {
			case <-n.volumes.news:
			case <-retry:
			case <-ctx.Done():
			}
		}
	})
	n.unwatchVolumes = func() {
		unsubscribe()
		cancel()
		loop.Wait()
	}
}

// drainedVolumes returns those that drain and on which nothing is open.
func (n *Node) drainedVolumes() (out []*volume) {
	img := n.member.Image()
	self, _ := img.Node(n.self.ID)
	for _, v := range n.volumes.all() {
		if at, ok := self.Volume(v.ref.Epoch); ok && at.State == meta.VolumeDraining && img.OpenStreams(v.ref) == 0 && !self.Fenced {
			out = append(out, v)
		}
	}
	return out
}

// AddWAL gives this node another WAL while it runs, and returns when streams may be opened on it. It is not in the configuration: after the
// next start it is used only if the setting wal names it as well.
func (n *Node) AddWAL(ctx context.Context, url string) (volume base.NodeEpoch, err error) {
	if url, err = absolute(url); err != nil {
		return 0, err
	}
	n.volumes.coming.Lock()
	defer n.volumes.coming.Unlock()
	if n.volumes.set == nil {
		return 0, base.Errorf(base.Unavailable, "the broker is starting")
	}
	if err := n.probeWALStore(ctx, url); err != nil {
		return 0, err
	}
	v, err := n.addVolumeLocked(ctx, url)
	if err != nil {
		return 0, err
	}
	return v.ref.Epoch, nil
}

// WALStatus implements admin.WALs.
func (n *Node) WALStatus() []admin.WALStatus {
	var out []admin.WALStatus
	for _, v := range n.volumes.all() {
		s := admin.WALStatus{Of: v.ref.Epoch, Used: v.log.Used(), LagMS: v.lag().Milliseconds()}
		if c := v.log.Capacity(); c < math.MaxInt64 {
			s.Capacity = max(0, c)
		}
		if fault := v.fault.Load(); fault != nil {
			s.Failed = (*fault).Error()
		}
		s.Unuploaded, _ = v.engine.Lag()
		out = append(out, s)
	}
	return out
}

// probeWALStore makes sure that a store can hold a WAL.
func (n *Node) probeWALStore(ctx context.Context, url string) (err error) {
	if !wal.InStore(url) {
		return nil
	}
	store := n.store
	if url != "s3" {
		if store, err = n.walStore(ctx, url); err != nil {
			return err
		}
	}
	return objstore.Probe(ctx, store)
}
