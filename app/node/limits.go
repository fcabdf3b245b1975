package node

import (
	"iter"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/config"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/edge/handle"
	"sluice/edge/quota"
)

// limits are what clients may do, as the metadata says at the time: quotas, and how many connections there may be. It is the listener's gate.
type limits struct {
	quotas  *quota.Manager
	gate    atomic.Pointer[gate]
	unwatch func()

	mu struct {
		sync.Mutex
		pos base.MetaPos // of the image that was read last
	}
}

// gate is what holds for connections.
type gate struct {
	all       int // 0: the setting of the start
	perIP     int // 0: no limit
	overrides map[netip.Addr]int
	perSecond float64 // 0: no limit
}

func startLimits(member *control.Member, node base.NodeID, c *config.Config, now func() time.Time, reg prometheus.Registerer) *limits {
	l := &limits{quotas: quota.New(quota.Options{
		Windows: c.QuotaWindows, Window: time.Duration(c.QuotaWindowSeconds) * time.Second,
		ControllerWindows: c.ControllerQuotaWindows, ControllerWindow: time.Duration(c.ControllerQuotaSeconds) * time.Second,
		Now: now, Registerer: reg,
	})}
	read := func(img *meta.Image) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if img.Pos() < l.mu.pos {
			return
		}
		l.mu.pos = img.Pos()
		l.quotas.Update(quotasOf(img))
		l.gate.Store(newGate(handle.BrokerValues(img, node, c)))
	}
	l.unwatch = member.Subscribe(func(old, img *meta.Image) {
		if delta := img.DeltaFrom(old); delta == nil || delta.Configs {
			read(img)
		}
	})
	read(member.Image())
	return l
}

// close ends the following of the metadata.
func (l *limits) close() { l.unwatch() }

func quotasOf(img *meta.Image) iter.Seq2[string, map[string]string] {
	return func(yield func(string, map[string]string) bool) {
		for r := range img.ConfigResources(meta.QuotaConfig) {
			if !yield(r.Name, r.Configs) {
				return
			}
		}
	}
}

// unlimited is how Kafka writes that there is no limit.
const unlimited = 1<<31 - 1

func newGate(values map[string]string) *gate {
	number := func(name string) int {
		n, err := strconv.Atoi(strings.TrimSpace(values[name]))
		if err != nil || n >= unlimited {
			return 0
		}
		return max(n, 1) // 0 would lock out whoever could undo it
	}
	g := &gate{all: number("max.connections"), perIP: number("max.connections.per.ip"), perSecond: float64(number("max.connection.creation.rate")), overrides: map[netip.Addr]int{}}
	for item := range strings.SplitSeq(values["max.connections.per.ip.overrides"], ",") {
		at := strings.LastIndexByte(item, ':')
		if at < 0 {
			continue
		}
		from, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(item[:at]), "[]"))
		n, err2 := strconv.Atoi(strings.TrimSpace(item[at+1:]))
		if err == nil && err2 == nil && n >= 0 {
			g.overrides[from.Unmap()] = n
		}
	}
	return g
}

// Connect implements kafka.Gate.
func (l *limits) Connect(from netip.Addr) (pause, refuse time.Duration) {
	return l.quotas.Connection(from, l.gate.Load().perSecond)
}

// MaxConnections implements kafka.Gate.
func (l *limits) MaxConnections(from netip.Addr) (all, ofAddress int) {
	g := l.gate.Load()
	if n, ok := g.overrides[from]; ok {
		return g.all, max(n, 1)
	}
	return g.all, g.perIP
}
