package quota

import (
	"iter"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sensorsMax bounds the counts that are kept, and the clients that are known: about 500 bytes each.
	sensorsMax = 10_000
	// idleMax is how long a count is kept that nobody uses.
	idleMax = time.Hour
)

// Manager counts what clients do on this broker.
type Manager struct {
	opt     Options
	metrics *metrics
	begin   time.Time
	now     atomic.Pointer[generation]

	mu struct {
		sync.Mutex
		sensors map[sensorKey]*sensor
		ips     map[netip.Addr]*sensor
	}
	connections sensor // of the broker as a whole
}

// generation is a set of limits, and what is known of clients under it.
type generation struct {
	limits  *limits
	mu      sync.RWMutex
	clients map[clientKey]*Client
}

type clientKey struct{ user, id string }

type sensorKey struct {
	kind   Kind
	shared string
}

// sensor is one count.
type sensor struct {
	mu     sync.Mutex
	rate   *rate
	bucket bucket
	limit  float64
	usedMS int64
}

// Client is what applies to a client. It stays right until limits change.
type Client struct {
	m       *Manager
	sensors [kinds]*sensor
}

// New returns a manager without limits.
func New(opt Options) *Manager {
	opt = opt.withDefaults()
	m := &Manager{opt: opt, metrics: newMetrics(opt.Registerer), begin: opt.Now()}
	m.mu.sensors, m.mu.ips = map[sensorKey]*sensor{}, map[netip.Addr]*sensor{}
	m.connections.rate = newRate(m.windows())
	m.Update(func(func(string, map[string]string) bool) {})
	return m
}

func (m *Manager) windows() windows { return windows{m.opt.Windows, m.opt.Window.Milliseconds()} }

// nowMS is a time that does not go back.
func (m *Manager) nowMS() int64 { return m.opt.Now().Sub(m.begin).Milliseconds() }

// Update replaces the limits: entities as [Entity.String] writes them, and their values by key.
func (m *Manager) Update(all iter.Seq2[string, map[string]string]) {
	m.now.Store(&generation{limits: newLimits(all), clients: map[clientKey]*Client{}})
}

// Client returns what applies to a client; nil if nothing does.
func (m *Manager) Client(user, id string) *Client {
	g := m.now.Load()
	if !g.limits.any {
		return nil
	}
	key := clientKey{user, id}
	g.mu.RLock()
	c, known := g.clients[key]
	g.mu.RUnlock()
	if known {
		return c
	}
	c = m.resolve(g.limits, user, id)
	g.mu.Lock()
	if len(g.clients) >= sensorsMax {
		clear(g.clients)
	}
	g.clients[key] = c
	g.mu.Unlock()
	return c
}

func (m *Manager) resolve(l *limits, user, id string) *Client {
	c, some := &Client{m: m}, false
	for k := range kinds {
		if limit, shared, ok := l.find(k, user, id); ok {
			c.sensors[k], some = m.sensor(k, shared, limit), true
		}
	}
	if !some {
		return nil
	}
	return c
}

// sensor returns the count of a kind that is shared under a name, and gives it its limit.
func (m *Manager) sensor(k Kind, shared string, limit float64) *sensor {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := sensorKey{k, shared}
	s := m.mu.sensors[key]
	if s == nil {
		evict(m.mu.sensors, m.nowMS())
		s = &sensor{rate: newRate(m.windows()), bucket: bucket{w: windows{m.opt.ControllerWindows, m.opt.ControllerWindow.Milliseconds()}}, usedMS: m.nowMS()}
		m.mu.sensors[key] = s
		m.metrics.counts.Set(float64(len(m.mu.sensors)))
	}
	s.mu.Lock()
	s.limit = limit
	s.mu.Unlock()
	return s
}

// evict makes room for one more: what is idle for long goes, and if that is not enough, what is idle for longest.
func evict[K comparable](all map[K]*sensor, nowMS int64) {
	if len(all) < sensorsMax {
		return
	}
	var oldest K
	at := int64(math.MaxInt64)
	for k, s := range all {
		s.mu.Lock()
		used := s.usedMS
		s.mu.Unlock()
		if nowMS-used > idleMax.Milliseconds() {
			delete(all, k)
		} else if used < at {
			oldest, at = k, used
		}
	}
	if len(all) >= sensorsMax {
		delete(all, oldest)
	}
}

// Add counts n bytes of a kind and returns how long the client is to wait. A nil client has no limits.
func (c *Client) Add(k Kind, n int) time.Duration {
	if c == nil || c.sensors[k] == nil {
		return 0
	}
	s, now := c.sensors[k], c.m.nowMS()
	s.mu.Lock()
	s.rate.add(float64(n), now)
	wait := s.rate.waitMS(s.limit, now)
	s.usedMS = now
	s.mu.Unlock()
	return c.m.metrics.throttled(k.String(), wait)
}

// Limited reports whether the client has a limit of a kind.
func (c *Client) Limited(k Kind) bool { return c != nil && c.sensors[k] != nil }

// AtOnce is how many bytes of a kind the client may get at once without being told to wait: those of all windows but one.
func (c *Client) AtOnce(k Kind) int {
	if !c.Limited(k) {
		return math.MaxInt
	}
	s := c.sensors[k]
	s.mu.Lock()
	most := s.limit * float64(c.m.opt.Windows-1) * c.m.opt.Window.Seconds()
	s.mu.Unlock()
	if most >= math.MaxInt32 {
		return math.MaxInt
	}
	return max(int(most), 1)
}

// Busy counts CPU time of a request.
func (c *Client) Busy(d time.Duration) {
	if !c.Limited(Request) {
		return
	}
	s, now := c.sensors[Request], c.m.nowMS()
	s.mu.Lock()
	s.rate.add(d.Seconds()*100, now)
	s.usedMS = now
	s.mu.Unlock()
}

// Tired returns how long the client is to wait for the CPU time that its requests took; at most one window, as in Kafka.
func (c *Client) Tired() time.Duration {
	if !c.Limited(Request) {
		return 0
	}
	s, now := c.sensors[Request], c.m.nowMS()
	s.mu.Lock()
	wait := min(s.rate.waitMS(s.limit, now), c.m.opt.Window.Milliseconds())
	s.mu.Unlock()
	return c.m.metrics.throttled(Request.String(), wait)
}

// Mutate counts n partitions to be created or deleted. A strict limit allows it as long as there are tokens, however few, and the wait is 0 then; else
// nothing is counted, and it is refused with the time to wait. One that is not strict allows it in any case, and says how long to wait afterwards.
func (c *Client) Mutate(n int, strict bool) (allowed bool, wait time.Duration) {
	if !c.Limited(Mutation) {
		return true, 0
	}
	s, now := c.sensors[Mutation], c.m.nowMS()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usedMS = now
	if strict {
		s.bucket.refill(s.limit, now)
		if ms := s.bucket.waitMS(s.limit); ms > 0 {
			return false, c.m.metrics.throttled(Mutation.String(), ms)
		}
		s.bucket.take(float64(n), s.limit, now)
		return true, 0
	}
	return true, c.m.metrics.throttled(Mutation.String(), s.bucket.take(float64(n), s.limit, now))
}

// Connection counts a new connection from an address; perSecond is the limit of the broker as a whole, 0 for none. It returns how long the broker is
// to wait before it accepts another one, and how long this one is to be kept waiting before it is closed; 0: it is welcome.
func (m *Manager) Connection(from netip.Addr, perSecond float64) (pause, refuse time.Duration) {
	from = from.Unmap()
	now := m.nowMS()
	if limit := m.now.Load().limits.ip(from); limit > 0 {
		s := m.ipSensor(from)
		s.mu.Lock()
		s.rate.add(1, now)
		ms := s.rate.waitMS(limit, now)
		if ms > 0 {
			s.rate.add(-1, now) // it does not come about
		}
		s.usedMS = now
		s.mu.Unlock()
		if ms > 0 {
			return 0, m.metrics.throttled("connection", min(ms, m.opt.Window.Milliseconds()))
		}
	}
	if perSecond <= 0 {
		return 0, 0
	}
	s := &m.connections
	s.mu.Lock()
	s.rate.add(1, now)
	ms := s.rate.waitMS(perSecond, now)
	s.mu.Unlock()
	return m.metrics.throttled("broker connection", min(ms, m.opt.Window.Milliseconds())), 0
}

func (m *Manager) ipSensor(from netip.Addr) *sensor {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.mu.ips[from]
	if s == nil {
		evict(m.mu.ips, m.nowMS())
		s = &sensor{rate: newRate(m.windows())}
		m.mu.ips[from] = s
	}
	return s
}
