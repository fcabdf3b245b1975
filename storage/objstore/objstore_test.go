package objstore_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"sluice/base"
	"sluice/storage/objstore"
	"sluice/storage/objstore/mem"
)

func TestOpen(t *testing.T) {
	for _, url := range []string{"file://" + t.TempDir() + "/sub", "mem://" + t.Name()} {
		s, err := objstore.Open(t.Context(), url, objstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s.String() != url {
			t.Errorf("%s calls itself %s", url, s)
		}
		if err := objstore.Probe(t.Context(), s); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	for url, names := range map[string]string{
		"":                              "file://DIR",
		"/tmp/x":                        "file://DIR",
		"file://":                       "file://DIR",
		"mem://":                        "mem://NAME",
		"ftp://bucket":                  "s3://BUCKET",
		"gs://B":                        "bucket name",
		"gs://bucket?storageClass=x":    "storageClass",
		"az://account":                  "container",
		"az://account/abc?tier=Archive": "read at once",
		"s3://":                         "bucket name",
		"s3://Bad_Bucket":               "bucket name",
		"s3://bucket":                   "region",
		"s3://bucket?regoin=x":          `"regoin"`,
		"s3://k:secret@bucket":          "AWS_ACCESS_KEY_ID",
		"gs://k:secret@bucket":          "GOOGLE_APPLICATION_CREDENTIALS",
		"az://k:secret@account/c":       "AZURE_STORAGE_KEY",
		"ftp://k:secret@bucket":         "s3://BUCKET",
		"s3://bucket?pathStyle=x":       "pathStyle",
		"s3://bucket?region=a&endpoint=localhost:9000": "endpoint",
		"s3://bucket/a//b?region=a":                    "prefix",
	} {
		_, err := objstore.Open(t.Context(), url, objstore.Options{})
		if !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), names) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v; want an Invalid error that mentions %s", url, err, names)
		}
	}
}

// careless ignores the condition of puts, as some stores do.
type careless struct{ objstore.Store }

func (c careless) Put(ctx context.Context, key string, body [][]byte, _ objstore.PutOptions) error {
	return c.Store.Put(ctx, key, body, objstore.PutOptions{})
}

// forgetful confirms deletes that it does not do.
type forgetful struct{ objstore.Store }

func (forgetful) Delete(context.Context, ...string) error { return nil }

func TestProbeFindsBadStores(t *testing.T) {
	for want, s := range map[string]objstore.Store{
		"If-None-Match":    careless{mem.New()},
		"keeps an object":  forgetful{mem.New()},
		"does not list":    blind{mem.New()},
		"for bytes [2, 5)": wholeOnly{mem.New()},
	} {
		if err := objstore.Probe(t.Context(), s); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %q", err, want)
		}
	}
}

// late has each put happen once more, after the first delete: its answer was lost, and it was done again.
type late struct {
	objstore.Store
	puts *[]string
}

func (l late) Put(ctx context.Context, key string, body [][]byte, opt objstore.PutOptions) error {
	*l.puts = append(*l.puts, key)
	return l.Store.Put(ctx, key, body, opt)
}

func (l late) Delete(ctx context.Context, keys ...string) error {
	err := l.Store.Delete(ctx, keys...)
	for _, key := range *l.puts {
		if err := l.Store.Put(ctx, key, nil, objstore.PutOptions{}); err != nil {
			return err
		}
	}
	*l.puts = nil
	return err
}

// TestProbeTakesLatePuts: what a put brings back that was given up and happened after the delete is no fault of the store's.
func TestProbeTakesLatePuts(t *testing.T) {
	s := mem.New()
	if err := objstore.Probe(t.Context(), late{s, new([]string)}); err != nil {
		t.Error(err)
	}
	for info := range s.List(t.Context(), "", "") {
		t.Errorf("left behind: %s", info.Key)
	}
}

// noting notes the keys that are put.
type noting struct {
	objstore.Store
	keys map[string]bool
}

func (n noting) Put(ctx context.Context, key string, body [][]byte, opt objstore.PutOptions) error {
	n.keys[key] = true
	return n.Store.Put(ctx, key, body, opt)
}

// TestIsProbeKey: every key that a probe puts is known as one, so that what it leaves is found.
func TestIsProbeKey(t *testing.T) {
	s := noting{mem.New(), map[string]bool{}}
	if err := objstore.Probe(t.Context(), s); err != nil || len(s.keys) != 3 {
		t.Fatal(err, s.keys)
	}
	for key := range s.keys {
		if !objstore.IsProbeKey(key) {
			t.Errorf("a probe puts %s", key)
		}
		for _, other := range []string{key + "/x", "x" + key, key[:len(key)-1] + "z", strings.ToUpper(key)} {
			if objstore.IsProbeKey(other) {
				t.Errorf("%s is no key of a probe", other)
			}
		}
	}
}

// strict refuses conditional puts, as some stores do.
type strict struct{ objstore.Store }

func (s strict) Put(ctx context.Context, key string, body [][]byte, opt objstore.PutOptions) error {
	if opt.IfAbsent {
		return base.Errorf(base.Invalid, "put %s: 501 NotImplemented", key)
	}
	return s.Store.Put(ctx, key, body, opt)
}

// refusing refuses all puts.
type refusing struct{ objstore.Store }

func (refusing) Put(context.Context, string, [][]byte, objstore.PutOptions) error {
	return base.Errorf(base.Invalid, "AccessDenied")
}

// TestProbeData: a store without put-if-absent may hold data, and what puts there does not say the condition; for a log it is refused, and why is said.
func TestProbeData(t *testing.T) {
	for name, s := range map[string]objstore.Store{"ignores": careless{mem.New()}, "refuses": strict{mem.New()}} {
		if err := objstore.Probe(t.Context(), s); !errors.Is(err, objstore.ErrNoCondition) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		data, err := objstore.ProbeData(t.Context(), s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for range 2 {
			if err := data.Put(t.Context(), "k", [][]byte{[]byte("x")}, objstore.PutOptions{IfAbsent: true}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := data.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		for info, err := range data.List(t.Context(), "", "") {
			t.Errorf("%s: the probe left %s (%v)", name, info.Key, err)
		}
	}
	good := mem.New()
	if data, err := objstore.ProbeData(t.Context(), good); err != nil || data != objstore.Store(good) {
		t.Errorf("%v, %v", data, err)
	}
	for _, s := range []objstore.Store{refusing{mem.New()}, forgetful{mem.New()}, forgetful{careless{mem.New()}}, blind{careless{mem.New()}}} {
		if _, err := objstore.ProbeData(t.Context(), s); !base.IsKind(err, base.Invalid) || errors.Is(err, objstore.ErrNoCondition) {
			t.Errorf("%T: %v", s, err)
		}
	}
}

// blind lists nothing.
type blind struct{ objstore.Store }

func (blind) List(context.Context, string, string) iter.Seq2[objstore.Info, error] {
	return func(func(objstore.Info, error) bool) {}
}

// wholeOnly ignores ranges.
type wholeOnly struct{ objstore.Store }

func (w wholeOnly) Get(ctx context.Context, key string, _, _ int64, dst []byte) ([]byte, error) {
	return w.Store.Get(ctx, key, 0, -1, dst)
}
