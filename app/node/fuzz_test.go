package node

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/base"
	"sluice/base/config"
	"sluice/storage/objstore"
	"sluice/wire/batch"
	"sluice/wire/kbin"
	"sluice/wire/msg"
)

// target is the broker that requests are thrown at.
type target struct {
	n    *Node
	calm net.Conn // somebody who asks only for versions
	left int      // requests until it is replaced: what was created adds up
}

// startTarget starts a broker on a bucket in memory, with a topic t.
func startTarget(t testing.TB) *target {
	t.Helper()
	ctx := context.Background()
	name := "fuzz-" + base.NewUUID().Hex()
	store, err := objstore.Open(ctx, "mem://"+name, objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var set []config.Value
	for k, v := range map[string]string{
		"bucket": "mem://" + name, "wal": "mem://" + name, "admin": "off", "memory": "256MiB", "listen": "127.0.0.1:0",
		"offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "1", "group.initial.rebalance.delay.ms": "0",
	} {
		set = append(set, config.Value{Name: k, Text: v, From: "test"})
	}
	cfg, err := config.Resolve(set)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(ctx, Options{Config: cfg, Store: store, Hostname: "localhost", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Info().Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 2, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	return &target{n: n, calm: dialNode(t, n), left: 1000}
}

func (g *target) stop(t testing.TB) {
	g.calm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.n.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func dialNode(t testing.TB, n *Node) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", n.Info().Kafka)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// settings are requests that may change the broker for everybody, as whoever sends them is entitled to: quotas, limits of connections, its own removal. Each gets
// a broker of its own.
var settings = []int16{msg.KeyAlterClientQuotas, msg.KeyAlterConfigs, msg.KeyIncrementalAlterConfigs, msg.KeyUnregisterBroker, msg.KeyUpdateFeatures, msg.KeyCreateAcls}

// wholeRequest is a request with a valid header and any body.
func wholeRequest(key, version int16, body []byte) []byte {
	b := kbin.AppendInt32(kbin.AppendInt16(kbin.AppendInt16(make([]byte, 4, 32+len(body)), key), version), 7)
	b = kbin.AppendString(b, false, "c")
	if msg.IsFlexible(key, version) {
		b = append(b, 0)
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// readAnswer reads an answer, without its correlation id.
func readAnswer(nc net.Conn) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(nc, b); err != nil {
		return nil, errors.Join(errBroken, err)
	}
	if id := int32(binary.BigEndian.Uint32(b)); id != 7 {
		return nil, errBroken
	}
	return b[4:], nil
}

var errBroken = errors.New("what came is no answer to the request")

// lookFor is how long an answer is looked for: some requests wait for something to happen, as they say, and are left alone then.
const lookFor = 100 * time.Millisecond

// throw sends a request. The answer, if one comes, must be one.
func (g *target) throw(t *testing.T, key, version int16, body []byte) {
	t.Helper()
	nc := dialNode(t, g.n)
	defer nc.Close()
	if _, err := nc.Write(wholeRequest(key, version, body)); err != nil {
		t.Fatal(err)
	}
	nc.SetReadDeadline(time.Now().Add(lookFor))
	b, err := readAnswer(nc)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, errBroken):
		return
	case errors.Is(err, errBroken) && !errors.Is(err, os.ErrDeadlineExceeded):
		t.Fatal(err)
	case err != nil: // the connection was closed
		return
	}
	resp := kmsg.ResponseForKey(key)
	if version > resp.MaxVersion() {
		return
	}
	resp.SetVersion(version)
	if resp.IsFlexible() && key != msg.KeyApiVersions {
		if len(b) == 0 || b[0] != 0 {
			t.Fatalf("key %d, version %d: no tags of the header: %x", key, version, b)
		}
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		t.Fatalf("key %d, version %d: the answer %x: %v", key, version, b, err)
	}
	if again := resp.AppendTo(nil); len(again) != len(b) {
		t.Fatalf("key %d, version %d: the answer has %d bytes, of which %d mean something: %x", key, version, len(b), len(again), b)
	}
}

// stillThere asks for versions, on a connection that has been there before.
func (g *target) stillThere(t *testing.T) {
	t.Helper()
	if _, err := g.calm.Write(wholeRequest(msg.KeyApiVersions, 0, nil)); err != nil {
		t.Fatal(err)
	}
	g.calm.SetReadDeadline(time.Now().Add(time.Minute))
	b, err := readAnswer(g.calm)
	if err != nil {
		t.Fatalf("nobody is served any more: %v", err)
	}
	if versions := kmsg.NewPtrApiVersionsResponse(); versions.ReadFrom(b) != nil || versions.ErrorCode != 0 || len(versions.ApiKeys) < 50 {
		t.Fatalf("versions: %x", b)
	}
}

// FuzzRequests: whatever comes in a request of any key and version to a whole broker, it does not panic, what it answers is an answer of that kind, or it closes
// the connection, and others are served.
func FuzzRequests(f *testing.F) {
	for i, a := range msg.APIs {
		for v := a.Min; v <= a.Max; v++ {
			for _, full := range []bool{false, true} {
				if req := kmsg.RequestForKey(a.Key); req != nil && v <= req.MaxVersion() {
					req.SetVersion(v)
					if full {
						fillRequest(reflect.ValueOf(req).Elem())
						req.SetVersion(v)
					}
					f.Add(byte(i), byte(v-a.Min), req.AppendTo(nil))
				}
			}
		}
	}
	var g *target
	f.Cleanup(func() {
		if g != nil {
			g.stop(f)
		}
	})
	f.Fuzz(func(t *testing.T, api, version byte, body []byte) {
		a := msg.APIs[int(api)%len(msg.APIs)]
		v := a.Min + int16(version)%(a.Max-a.Min+1)
		if slices.Contains(settings, a.Key) {
			own := startTarget(t)
			own.throw(t, a.Key, v, body)
			if a.Key == msg.KeyUpdateFeatures {
				own.stillThere(t)
			}
			own.stop(t)
			return
		}
		if g == nil || g.left == 0 {
			if g != nil {
				g.stop(t)
			}
			g = startTarget(t)
		}
		g.left--
		g.throw(t, a.Key, v, body)
		g.stillThere(t)
	})
}

// fillRequest gives every field something that may make sense: what is named is t, and there is one of everything.
func fillRequest(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "UnknownTags" && f.Name != "Version" {
				fillRequest(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillRequest(v.Elem())
	case reflect.String:
		v.SetString("t")
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(someBatch())
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillRequest(v.Index(0))
	case reflect.Int16:
		v.SetInt(-1) // acks, replicas, epochs
	case reflect.Int32:
		v.SetInt(1)
	}
}

// someBatch has a record with a key and a value.
func someBatch() []byte {
	b := batch.NewBuilder(batch.Options{})
	b.Add(batch.Record{Key: []byte("k"), Value: []byte("v")})
	return b.Bytes()
}
