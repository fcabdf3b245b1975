package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

// bytesField and the like append fields, for messages of tests.
func bytesField(num protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), bytes.Join(parts, nil))
}

func doubleField(num protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), math.Float64bits(v))
}

func varintField(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func attr(key, value string) []byte {
	return bytesField(fieldPointAttributes, bytesField(fieldKey, []byte(key)), bytesField(fieldValue, bytesField(1, []byte(value))))
}

// otlp makes a push of metrics.
func otlp(metrics ...[]byte) []byte {
	return bytesField(fieldResourceMetrics, bytesField(fieldScopeMetrics, metrics...))
}

func gauge(name string, v float64, attrs ...[]byte) []byte {
	return bytesField(fieldMetrics, bytesField(fieldName, []byte(name)), bytesField(fieldGauge, bytesField(fieldPoints, append(attrs, doubleField(fieldAsDouble, v))...)))
}

func counter(name string, v float64) []byte {
	return bytesField(fieldMetrics, bytesField(fieldName, []byte(name)), bytesField(fieldSum, bytesField(fieldPoints, doubleField(fieldAsDouble, v)), varintField(fieldMonotonic, 1)))
}

func newReceiver(t *testing.T, subs ...map[string]string) (*Receiver, *clock, *prometheus.Registry) {
	t.Helper()
	c, reg := &clock{time.Unix(1_000_000, 0)}, prometheus.NewRegistry()
	r := New(Options{Now: c.now, Registerer: reg})
	t.Cleanup(r.Close)
	var all []Subscription
	for _, s := range subs {
		sub, err := NewSubscription(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sub)
	}
	r.Update(all)
	return r, c, reg
}

func client(n byte) Client {
	return Client{Instance: base.UUID{0: n, 15: 7}, ID: fmt.Sprintf("c%d", n), SoftwareName: "java", SoftwareVer: "4.3.0", Address: "10.0.0.1", Port: "1234"}
}

func TestWhatClientsAreTold(t *testing.T) {
	r, _, _ := newReceiver(t, map[string]string{"metrics": "a.,b.", "interval.ms": "2000", "match": "client_id=c1"},
		map[string]string{"metrics": "b.,c.", "interval.ms": "1000", "match": "client_software_name=java,client_source_port=12.*"}, map[string]string{"metrics": "*", "match": "client_id=c3"})
	for n, want := range map[byte]string{1: "[a. b. c.] 1000", 2: "[b. c.] 1000", 3: "[* ] 1000"} {
		told, code := r.Subscribe(client(n))
		if code != kerr.None || fmt.Sprint(told.Metrics, told.IntervalMS) != want {
			t.Errorf("client %d: %v %v", n, told, code)
		}
	}
	stranger := client(4)
	stranger.SoftwareName = "other"
	if told, _ := r.Subscribe(stranger); len(told.Metrics) != 0 || told.IntervalMS != defaultIntervalMS {
		t.Errorf("%+v", told)
	}
	r2, _, _ := newReceiver(t, map[string]string{"metrics": "c.,b.,a.", "interval.ms": "1000"}) // another broker
	again, _ := r2.Subscribe(client(1))
	if told := tell(r.mu.subs, &Client{Instance: client(1).Instance, ID: "c1", SoftwareName: "java", Port: "12"}); told.ID != again.ID {
		t.Error("two brokers say the same under different ids")
	}
}

func TestPushes(t *testing.T) {
	r, now, reg := newReceiver(t, map[string]string{"metrics": "*", "interval.ms": "1000"})
	c := client(1)
	told, _ := r.Subscribe(c)
	body := otlp(gauge("m.g", 1.5, attr("k", "v"), attr("l", "w")), counter("m.c", 7))
	push := func(codec batch.Codec, id int32) kerr.Code {
		return r.Push(c, Push{Subscription: id, Compression: int8(codec), Metrics: batch.Compress(nil, body, codec)})
	}
	if code := push(batch.None, told.ID); code != kerr.None {
		t.Fatal(code)
	}
	if code := push(batch.None, told.ID); code != kerr.ThrottlingQuotaExceeded {
		t.Fatal(code)
	}
	if _, code := r.Subscribe(c); code != kerr.ThrottlingQuotaExceeded {
		t.Fatal(code)
	}
	for _, codec := range []batch.Codec{batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
		now.pass(time.Second)
		if code := push(codec, told.ID); code != kerr.None {
			t.Errorf("%v: %v", codec, code)
		}
	}
	want := `
# HELP sluice_client_metrics Gauges that clients push (KIP-714), by their OpenTelemetry names.
# TYPE sluice_client_metrics gauge
sluice_client_metrics{attributes="k=v,l=w",client_id="c1",client_instance_id="` + c.Instance.String() + `",client_software_name="java",client_software_version="4.3.0",metric="m.g"} 1.5
# HELP sluice_client_metrics_total Sums that clients push (KIP-714), by their OpenTelemetry names.
# TYPE sluice_client_metrics_total counter
sluice_client_metrics_total{attributes="",client_id="c1",client_instance_id="` + c.Instance.String() + `",client_software_name="java",client_software_version="4.3.0",metric="m.c"} 7
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "sluice_client_metrics", "sluice_client_metrics_total"); err != nil {
		t.Error(err)
	}
	now.pass(time.Second)
	for _, step := range []struct {
		p    Push
		want kerr.Code
	}{
		{Push{Subscription: told.ID + 1}, kerr.UnknownSubscriptionID},
		{Push{Subscription: told.ID, Compression: 5}, kerr.UnsupportedCompressionType},
		{Push{Subscription: told.ID, Metrics: make([]byte, 1<<20+1)}, kerr.TelemetryTooLarge},
		{Push{Subscription: told.ID, Metrics: []byte{0xff, 1, 2}}, kerr.InvalidRecord},
		{Push{Subscription: told.ID, Compression: int8(batch.Gzip), Metrics: []byte("no gzip")}, kerr.InvalidRecord},
		{Push{Subscription: told.ID, Compression: int8(batch.Gzip), Metrics: batch.Compress(nil, make([]byte, plainMax+1), batch.Gzip)}, kerr.InvalidRecord},
		{Push{Subscription: told.ID, Terminating: true}, kerr.None},
		{Push{Subscription: told.ID}, kerr.InvalidRequest},
	} {
		if got := r.Push(c, step.p); got != step.want {
			t.Errorf("%d bytes, compression %d, id %d: %v, want %v", len(step.p.Metrics), step.p.Compression, step.p.Subscription-told.ID, got, step.want)
		}
		now.pass(time.Second)
	}
	now.pass(time.Hour)
	if n := testutil.CollectAndCount(collector{r}); n != 0 {
		t.Errorf("%d series of a client that is gone", n)
	}
}

func TestChangedSubscription(t *testing.T) {
	r, _, _ := newReceiver(t, map[string]string{"metrics": "*", "interval.ms": "1000"})
	c := client(1)
	told, _ := r.Subscribe(c)
	sub, _ := NewSubscription(map[string]string{"metrics": "a."})
	r.Update([]Subscription{sub})
	if code := r.Push(c, Push{Subscription: told.ID}); code != kerr.UnknownSubscriptionID {
		t.Fatal(code)
	}
	r.Update([]Subscription{sub, sub})
	if again, code := r.Subscribe(c); code != kerr.None || !slices.Equal(again.Metrics, []string{"a."}) {
		t.Fatal(again, code)
	}
}

func TestBounds(t *testing.T) {
	r, _, reg := newReceiver(t, map[string]string{"metrics": "*", "interval.ms": "1000"})
	var many [][]byte
	for i := range seriesMax + 100 {
		many = append(many, gauge(fmt.Sprint("m", i)+strings.Repeat("x", 2*nameMax), 1))
	}
	c := client(1)
	told, _ := r.Subscribe(c)
	if code := r.Push(c, Push{Subscription: told.ID, Metrics: otlp(many...)}); code != kerr.None {
		t.Fatal(code)
	}
	if n := testutil.CollectAndCount(collector{r}); n != seriesMax {
		t.Errorf("%d series", n)
	}
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
	for i := range clientsMax + 50 {
		r.Subscribe(Client{Instance: base.UUID{1: byte(i), 2: byte(i >> 8), 3: 1}})
	}
	if n := len(r.mu.clients); n > clientsMax {
		t.Errorf("%d clients", n)
	}
}

// TestSentOn: with a collector what is pushed goes there, with who pushed it.
func TestSentOn(t *testing.T) {
	got := make(chan []byte, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		got <- b
	}))
	defer srv.Close()
	r := New(Options{Collector: srv.URL})
	defer r.Close()
	c := client(1)
	told, _ := r.Subscribe(c)
	body := otlp(gauge("m.g", 1.5))
	if code := r.Push(c, Push{Subscription: told.ID, Metrics: body}); code != kerr.None {
		t.Fatal(code)
	}
	sent := <-got
	if !bytes.Contains(sent, []byte("client_id")) || !bytes.Contains(sent, []byte("c1")) {
		t.Errorf("%q does not say who pushed it", sent)
	}
	n := 0
	if err := decode(sent, func(k seriesKey, p point) {
		if n++; k.name != "m.g" || p.value != 1.5 {
			t.Errorf("%v %v", k, p)
		}
	}); err != nil || n != 1 {
		t.Fatal(n, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(otlp(gauge("m.g", 1.5, attr("k", "v")), counter("m.c", 7)))
	f.Add([]byte{0x0a, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		points := 0
		err := decode(b, func(k seriesKey, _ point) {
			if points++; k.name == "" || len(k.name) > 3*nameMax {
				t.Errorf("%d bytes of name", len(k.name))
			}
		})
		if points > len(b) {
			t.Errorf("%d points of %d bytes", points, len(b))
		}
		if err == nil {
			if err := decode(label(b, &Client{ID: "x"}), func(seriesKey, point) { points-- }); err != nil || points != 0 {
				t.Errorf("with its sender it does not decode the same: %v, %d points off", err, points)
			}
		}
	})
}
