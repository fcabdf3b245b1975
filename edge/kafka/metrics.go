package kafka

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	connections prometheus.Gauge
	accepted    prometheus.Counter
	closed      *prometheus.CounterVec
	admitted    *prometheus.CounterVec
	refused     *prometheus.CounterVec
	inFlight    prometheus.Gauge
	bytesIn     prometheus.Counter
	bytesOut    prometheus.Counter
	memory      prometheus.Gauge
	seconds     *prometheus.HistogramVec

	mu    sync.RWMutex
	byKey map[int16]prometheus.Observer
	name  func(int16) string
}

func newMetrics(reg prometheus.Registerer, name func(int16) string) *metrics {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_kafka_connections", Help: "Open client connections."}),
		accepted:    prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_kafka_connections_accepted_total", Help: "Client connections accepted."}),
		closed:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_kafka_connections_closed_total", Help: "Client connections closed, by reason."}, []string{"reason"}),
		admitted:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_kafka_logins_total", Help: "Logins that succeeded, by listener; those anew on an open connection among them."}, []string{"listener"}),
		refused:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_kafka_logins_refused_total", Help: "Logins refused, by listener."}, []string{"listener"}),
		inFlight:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_kafka_requests_in_flight", Help: "Requests between handler and socket."}),
		bytesIn:     prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_kafka_received_bytes_total", Help: "Bytes of requests received."}),
		bytesOut:    prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_kafka_sent_bytes_total", Help: "Bytes of responses sent."}),
		memory:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_kafka_request_memory_bytes", Help: "Memory charged for requests that are being received or processed."}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_kafka_request_seconds", Help: "Time from the last byte of a request to its response being handed to the socket.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"api"}),
		byKey: map[int16]prometheus.Observer{},
		name:  name,
	}
	if reg != nil {
		reg.MustRegister(m.connections, m.accepted, m.closed, m.admitted, m.refused, m.inFlight, m.bytesIn, m.bytesOut, m.memory, m.seconds)
	}
	return m
}

// answers registers the gauge of the memory of answers.
func (m *metrics) answers(reg prometheus.Registerer, a *answers) {
	if reg != nil {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_kafka_answer_memory_bytes", Help: "Memory of answers that clients have not read, without what lies in caches."},
			func() float64 { return float64(a.held()) }))
	}
}

// observe records the duration of a request. The number of keys is bounded: the handler refuses unknown ones by aborting them,
// and aborted requests are not observed.
func (m *metrics) observe(key int16, seconds float64) {
	m.mu.RLock()
	o := m.byKey[key]
	m.mu.RUnlock()
	if o == nil {
		o = m.seconds.WithLabelValues(m.name(key))
		m.mu.Lock()
		m.byKey[key] = o
		m.mu.Unlock()
	}
	o.Observe(seconds)
}

func numberName(key int16) string { return strconv.Itoa(int(key)) }
