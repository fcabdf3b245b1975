package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/cluster/balance"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/cluster/peer"
)

// MemberOptions set up a member. Controller.Store is required; zero values of the rest mean the defaults named.
type MemberOptions struct {
	// Controller sets up the controller that this process may become.
	Controller Options
	// Former is the node that this process was before, base.NoNode if none: if it is the only one that lives according to the metadata,
	// nobody has to be waited for.
	Former base.NodeID

	Session   time.Duration // without a heartbeat for so long a node is fenced; 6 s
	Heartbeat time.Duration // between heartbeats; 1 s
	// Balance evens the load out: it returns planned moves, and why, for the log. Nil: nobody does. It is called on one goroutine at a time.
	Balance  func(img *meta.Image, loads balance.Loads, now time.Time) (moves []meta.PartitionLeader, why string)
	MovesMax int // planned moves in flight; 200

	// Load measures this node, and Failing names the rescues it cannot carry out; for heartbeats. Nil: nothing to tell.
	Load    func() balance.NodeLoad
	Failing func() []RescueFailure
	// Ledger says, for other members to pass on, what this node has counted of its requests. Nil: nothing.
	Ledger func() []byte
	// Services are what other layers answer to members of other nodes ([Member.Ask]).
	Services map[peer.Method]Service
	// OnFenced is called once, on its own goroutine, when the epoch of this node is over.
	OnFenced func(error)
	// Dial connects to another member. Nil: TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

func (o MemberOptions) withDefaults() MemberOptions {
	o.Controller = o.Controller.withDefaults()
	if o.Session <= 0 {
		o.Session = 6 * time.Second
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = min(time.Second, o.Session/4)
	}
	if o.Controller.VerifyEvery <= 0 {
		o.Controller.VerifyEvery = o.Session / 3
	}
	if o.MovesMax <= 0 {
		o.MovesMax = 200
	}
	if o.Load == nil {
		o.Load = func() balance.NodeLoad { return balance.NodeLoad{} }
	}
	if o.Failing == nil {
		o.Failing = func() []RescueFailure { return nil }
	}
	if o.OnFenced == nil {
		o.OnFenced = func(error) {}
	}
	return o
}

// Member is this process's part in the cluster: it follows the metadata, tells the controller that it lives, takes commands to it, and becomes
// the controller when there is none. It implements Client.
type Member struct {
	opt    MemberOptions
	log    *slog.Logger
	view   *view
	client *peer.Client
	server *peer.Server
	life   context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	leads  chan request // to become the controller

	reader *metalog.Reader // owned by run
	vote   election        // owned by run

	self    atomic.Pointer[meta.NodeRef] // nil until registered
	fenced  sync.Once
	contact atomic.Int64 // end of the last proof of contact, as time since began
	began   time.Time

	mu struct {
		sync.Mutex
		lead *leadership        // nil while somebody else is the controller
		turn chan struct{}      // closed when lead changes or there is another controller
		wake context.CancelFunc // ends what run waits for
	}
}

var _ Client = (*Member)(nil)

// request asks run for something and waits for the answer.
type request struct {
	ctx  context.Context // of who asks
	done chan error      // has room for the answer
}

// Join reads the metadata log, or creates the cluster if there is none, and begins to follow it. ctx bounds the start only. Call Serve and
// Register next.
func Join(ctx context.Context, opt MemberOptions) (*Member, error) {
	opt = opt.withDefaults()
	m := &Member{opt: opt, log: opt.Controller.Logger, leads: make(chan request, 1), began: time.Now()}
	m.vote = election{silence: opt.Session / 2, refusal: opt.Session / 6}
	m.contact.Store(-1)
	m.mu.turn = make(chan struct{})
	m.life, m.cancel = context.WithCancel(context.Background())
	began := time.Now()
	log, img, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	m.view = newView(img, newMetrics(opt.Controller.Registerer))
	m.client = peer.NewClient(peer.ClientOptions{Cluster: img.ClusterID(), Secret: img.Secret(), Dial: opt.Dial, Name: opt.methodName, Logger: m.log, Registerer: opt.Controller.Registerer})
	if log != nil {
		m.elected(log, began)
	}
	m.wg.Go(m.view.notify.run)
	m.wg.Go(m.run)
	return m, nil
}

// enter finds the cluster, or creates it; then there is a log.
func (m *Member) enter(ctx context.Context) (*metalog.Log, *meta.Image, error) {
	mo := m.opt.Controller.metalog()
	for {
		r, err := metalog.OpenReader(ctx, mo)
		if err == nil {
			m.reader = r
			return nil, r.Image(), nil
		}
		if !base.IsKind(err, base.NotFound) {
			return nil, nil, fmt.Errorf("join the cluster: %w", err)
		}
		log, img, err := metalog.Create(ctx, mo)
		if err == nil {
			return log, img, nil
		}
		if !base.IsKind(err, base.Fenced) { // somebody else was faster
			return nil, nil, fmt.Errorf("create the cluster: %w", err)
		}
	}
}

// Serve answers other members on ln until Close.
func (m *Member) Serve(ln net.Listener) {
	img := m.Image()
	m.server = peer.Serve(ln, peer.ServerOptions{
		Cluster: img.ClusterID(), Secret: img.Secret(), Handlers: m.handlers(), Name: m.opt.methodName, Logger: m.log, Registerer: m.opt.Controller.Registerer,
	})
}

// Register makes this process a node, and begins its heartbeats.
func (m *Member) Register(ctx context.Context, cmd *meta.Register) (meta.NodeRef, error) {
	reg, err := Do[meta.Registered](ctx, m, cmd)
	if err != nil {
		return meta.NodeRef{}, err
	}
	ref := reg.Node
	m.self.Store(&ref)
	if l := m.leading(); l != nil {
		if _, err := l.ctl.Submit(ctx, &meta.NameController{Node: ref}); err != nil {
			m.log.Warn("the controller is not named in the metadata; others will take over", "error", err)
		}
	}
	registered := m.Image().Pos()
	unsubscribe := m.Subscribe(func(_, img *meta.Image) {
		if img.Pos() >= registered { // images from before may still be on their way
			m.watch(img)
		}
	})
	m.watch(m.Image())
	m.wg.Go(func() {
		defer unsubscribe()
		m.heartbeats()
	})
	return ref, nil
}

// watch looks whether this node's epoch goes on.
func (m *Member) watch(img *meta.Image) {
	ref := *m.self.Load()
	if n, ok := img.Node(ref.ID); ok && n.Epoch == ref.Epoch && !n.Fenced {
		return
	}
	m.endNode(base.Errorf(base.Fenced, "node %d, epoch %d, was fenced by the controller", ref.ID, ref.Epoch))
}

func (m *Member) endNode(err error) { m.fenced.Do(func() { go m.opt.OnFenced(err) }) }

// Close ends the membership: a controller stops, without a successor being named. Commands under way fail.
func (m *Member) Close() error {
	m.cancel()
	m.interrupt()
	m.view.notify.close()
	m.client.Close() // first: its connection to this member's own server is not one that is lost
	if m.server != nil {
		m.server.Close()
	}
	m.wg.Wait()
	return nil
}

// Image implements Client.
func (m *Member) Image() *meta.Image { return m.view.image.Load() }

// Subscribe implements Client.
func (m *Member) Subscribe(fn func(old, new *meta.Image)) (cancel func()) {
	return m.view.notify.subscribe(fn)
}

// WaitFor implements Client.
func (m *Member) WaitFor(ctx context.Context, pos base.MetaPos) error {
	return m.view.waitFor(ctx, pos, m.life.Done(), errClosed)
}

func errClosed() error { return base.Errorf(base.Closed, "the member was closed") }

// Contact returns nil while this process can rely on nobody having taken its node's place: the controller has confirmed it less than a session
// ago. It costs no more than reading a clock.
func (m *Member) Contact() error {
	if l := m.leading(); l != nil {
		if age := time.Since(l.ctl.verifiedAt()); age > m.opt.Session {
			return base.Errorf(base.Unavailable, "the metadata log has not answered for %v", age.Round(time.Millisecond))
		}
		return nil
	}
	at := m.contact.Load()
	if age := time.Since(m.began) - time.Duration(at); at < 0 || age > m.opt.Session {
		return base.Errorf(base.Unavailable, "no contact with the controller for %v", age.Round(time.Millisecond))
	}
	return nil
}

// contacted notes that at that time this node was known to live, by a controller nobody had replaced.
func (m *Member) contacted(at time.Time) {
	d := int64(max(0, at.Sub(m.began)))
	for {
		old := m.contact.Load()
		if d <= old || m.contact.CompareAndSwap(old, d) {
			return
		}
	}
}

// leading returns the leadership of this process, nil if somebody else is the controller.
func (m *Member) leading() *leadership {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.lead
}

// IsController reports whether this process is the controller, as far as it knows.
func (m *Member) IsController() bool { return m.leading() != nil }

// Heard returns how far a node has applied the metadata log and when it said so. Only the controller is told.
func (m *Member) Heard(id base.NodeID) (pos base.MetaPos, at time.Time, ok bool) {
	l := m.leading()
	if l == nil {
		return 0, at, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for ref, h := range l.mu.told {
		if ref.ID == id && l.ctl.Image().Current(ref) {
			return h.pos, h.at, true
		}
	}
	return 0, at, false
}

// setLead notes who leads and wakes those who wait for a controller.
func (m *Member) setLead(l *leadership) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.lead = l
	m.turnLocked()
}

func (m *Member) turned() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turnLocked()
}

func (m *Member) turnLocked() {
	close(m.mu.turn)
	m.mu.turn = make(chan struct{})
}

func (m *Member) turn() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.turn
}

// Submit implements Client. While there is no controller it waits for one, as long as ctx allows.
func (m *Member) Submit(ctx context.Context, cmd meta.Command) (meta.Result, error) {
	cmd = meta.Fill(cmd, base.NewUUID) // so that all attempts ask for the same
	r := repetition{cmd: cmd, deleted: m.Image().TopicsDeleted()}
	var last error
	for attempt := 0; ; attempt++ {
		turn := m.turn()
		res, err := r.attempt(ctx, m)
		if err == nil {
			return res, nil
		}
		var rej *meta.Rejection
		if errors.As(err, &rej) {
			return nil, err
		}
		if r.over(err) {
			return nil, err
		}
		if base.IsKind(err, base.Undetermined) || last == nil || !base.IsKind(last, base.Undetermined) {
			last = err // once it may have happened, it may
		}
		pause := time.NewTimer(min(10*time.Millisecond<<min(attempt, 5), 200*time.Millisecond))
		select {
		case <-turn:
		case <-pause.C:
		case <-ctx.Done():
			return nil, gaveUp(cmd, last)
		case <-m.life.Done():
			return nil, errClosed()
		}
		pause.Stop()
		if ctx.Err() != nil {
			return nil, gaveUp(cmd, last)
		}
	}
}

func gaveUp(cmd meta.Command, last error) error {
	kind := base.Unavailable
	if base.IsKind(last, base.Undetermined) {
		kind = base.Undetermined
	}
	return base.Errorf(kind, "%s: no controller has answered in time: %w", meta.CommandName(cmd), last)
}

// attempt submits once: to the controller of this process, or to the one the metadata name. Kind Unavailable means that it had no effect.
func (m *Member) attempt(ctx context.Context, cmd meta.Command) (meta.Result, error) {
	if l := m.leading(); l != nil {
		res, err := l.ctl.Submit(ctx, cmd)
		var rej *meta.Rejection
		if err == nil || errors.As(err, &rej) || ctx.Err() != nil {
			return res, err
		}
		return nil, base.Errorf(base.Undetermined, "the controller's role was lost: %w", err) // its slot may yet be there
	}
	addr, ok := m.controllerAddr()
	if !ok {
		return nil, base.Errorf(base.Unavailable, "no controller is known")
	}
	b, err := m.client.Call(ctx, addr, methodSubmit, appendSubmit(nil, ctx, cmd))
	if err != nil {
		if base.IsKind(err, base.Undetermined) || base.IsKind(err, base.Unavailable) {
			return nil, err
		}
		return nil, base.Wrap(base.Undetermined, err)
	}
	pos, res, err := readSubmitted(b)
	if werr := m.WaitFor(ctx, pos); werr != nil && err == nil {
		return nil, base.Wrap(base.Undetermined, werr)
	}
	return res, err
}

// controllerAddr returns where the controller that the metadata name is reached, if that is another node that lives.
func (m *Member) controllerAddr() (addr string, ok bool) {
	img := m.Image()
	id := img.Controller().Node
	if self := m.self.Load(); self != nil && self.ID == id {
		return "", false
	}
	return peerAddr(img, id)
}

// peerAddr returns where the member of a node is reached.
func peerAddr(img *meta.Image, id base.NodeID) (addr string, ok bool) {
	n, ok := img.Node(id)
	if !ok || n.Fenced {
		return "", false
	}
	e, ok := n.Endpoint(meta.PeerEndpoint)
	if !ok {
		return "", false
	}
	return net.JoinHostPort(e.Host, fmt.Sprint(e.Port)), true
}
