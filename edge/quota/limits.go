package quota

import (
	"iter"
	"net/netip"
)

// Kind is what a client is limited in.
type Kind uint8

const (
	Produce Kind = iota
	Fetch
	Request
	Mutation
	kinds
)

var kindKeys = [kinds]string{ProducerRate, ConsumerRate, RequestPercent, MutationRate}

var kindNames = [kinds]string{"produce", "fetch", "request", "mutation"}

func (k Kind) String() string { return kindNames[k] }

// limits are all limits at one time. It is never changed.
type limits struct {
	clients [kinds]map[string]float64 // by entity
	ips     map[netip.Addr]float64
	anyIP   float64 // 0: none
	any     bool    // is there one of clients?
}

// newLimits reads limits as the metadata has them: entity, and values by key. What is not understood is left out: a newer release wrote it.
func newLimits(all iter.Seq2[string, map[string]string]) *limits {
	l := &limits{ips: map[netip.Addr]float64{}}
	for k := range l.clients {
		l.clients[k] = map[string]float64{}
	}
	for name, values := range all {
		e, err := ParseEntity(name)
		if err != nil {
			continue
		}
		if ip := e.Part(IP); ip != nil {
			l.addIP(ip, values[ConnectionRate])
			continue
		}
		for k, key := range kindKeys {
			if v, err := ParseLimit(values[key]); err == nil {
				l.clients[k][name], l.any = v, true
			}
		}
	}
	return l
}

func (l *limits) addIP(ip *Part, value string) {
	v, err := ParseLimit(value)
	if err != nil {
		return
	}
	if ip.Default {
		l.anyIP = v
	} else if a, err := netip.ParseAddr(ip.Name); err == nil {
		l.ips[a.Unmap()] = v
	}
}

// find returns the limit that applies to a client, and who shares it.
func (l *limits) find(k Kind, user, client string) (limit float64, shared string, ok bool) {
	m := l.clients[k]
	if len(m) == 0 {
		return 0, "", false
	}
	u, c := Part{Type: User, Name: user}, Part{Type: ClientID, Name: client}
	anyUser, anyClient := Part{Type: User, Default: true}, Part{Type: ClientID, Default: true}
	both, byUser, byClient := Entity{c, u}.String(), Entity{u}.String(), Entity{c}.String()
	for _, try := range []struct {
		entity Entity
		shared string
	}{
		{Entity{c, u}, both}, {Entity{anyClient, u}, both}, {Entity{u}, byUser},
		{Entity{c, anyUser}, both}, {Entity{anyClient, anyUser}, both}, {Entity{anyUser}, byUser},
		{Entity{c}, byClient}, {Entity{anyClient}, byClient},
	} {
		if v, ok := m[try.entity.String()]; ok {
			return v, try.shared, true
		}
	}
	return 0, "", false
}

// ip returns the limit of connections from an address; 0: none.
func (l *limits) ip(a netip.Addr) float64 {
	if v, ok := l.ips[a]; ok {
		return v
	}
	return l.anyIP
}
