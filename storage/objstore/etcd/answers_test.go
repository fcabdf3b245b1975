package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"etcd://a:1/p":                                   "etcd://a:1/p",
		"etcd://a/p/q/":                                  "etcd://a:2379/p/q",
		"etcd://a:1,b,[::1]:3/p":                         "etcd://a:1,b:2379,[::1]:3/p",
		"etcd://u:s%40cret@a:1,b:2/p":                    "etcd://a:1,b:2/p",
		"etcd://a:1/p?tls=true":                          "etcd://a:1/p?tls=true",
		"etcd://a:1/p?tls=true&ca=/x&cert=/y&key=/z.pem": "etcd://a:1/p?tls=true&ca=/x&cert=/y&key=/z.pem",
	} {
		s, err := parse(raw)
		if err != nil || s.withoutPassword != want {
			t.Errorf("%s: %q, %v; want %q", raw, s.withoutPassword, err, want)
		}
		if again, err := parse(want); s.user == nil && (err != nil || again.withoutPassword != want) {
			t.Errorf("%s becomes %q, %v", want, again.withoutPassword, err)
		}
	}
	if s, err := parse("etcd://u:s%40cret@a:1/p"); err != nil || s.user.Username() != "u" || s.user.String() != "u:s%40cret" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"etcd://", "etcd://a", "etcd://a/", "etcd:///p", "etcd://a:0/p", "etcd://a:x/p", "etcd://a:1,/p", "etcd://a:1/p//q", "etcd://a:1/.p", "etcd://a:1/p#f",
		"etcd://u:s3cret@/p", "etcd://:s3cret@a/p", "etcd://u:s3%cret@a/p", "etcd://a:b:1/p", "etcd://a:1/p?tls=maybe", "etcd://a:1/p?ca=x", "etcd://a:1/p?tls=true&cert=x", "etcd://a:1/p?x=y",
		"etcd://a:1/p?tls=true&tls=true", "etcd://a:1/" + strings.Repeat("x", 201), "http://a:1/p"} {
		if _, err := parse(bad); !base.IsKind(err, base.Invalid) || strings.Contains(err.Error(), "s3") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []string{"etcd://a:1/p?tls=true&ca=/no/such", "etcd://a:1/p?tls=true&cert=/no/such&key=/no/such", "etcd://a:1/p?tls=true&ca=/dev/null"} {
		if _, err := Open(bad); !base.IsKind(err, base.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// gateway is an etcd that answers what the test wants.
func gateway(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func store(t *testing.T, hosts ...string) *Store {
	t.Helper()
	s, err := Open("etcd://" + strings.Join(hosts, ",") + "/p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

func put(ctx context.Context, s *Store) error {
	return s.Put(ctx, "k", [][]byte{[]byte("v")}, driver.PutOptions{IfAbsent: true})
}

func says(status, code int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%q,"message":%q,"code":%d}`, message, message, code)
	}
}

// What etcd says decides whether a put may have happened. Reads may be repeated in any case.
func TestKindsOfAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer    http.HandlerFunc
		put, read base.Kind
	}{
		"timeout":        {says(503, 14, "etcdserver: request timed out"), base.Undetermined, base.Unavailable},
		"lost leader":    {says(503, 14, "etcdserver: request timed out, possibly due to previous leader failure"), base.Undetermined, base.Unavailable},
		"leader changed": {says(503, 14, "etcdserver: leader changed"), base.Undetermined, base.Unavailable},
		"no leader":      {says(503, 14, "etcdserver: no leader"), base.Undetermined, base.Unavailable},
		"stopped":        {says(503, 14, "etcdserver: server stopped"), base.Undetermined, base.Unavailable},
		"unknown":        {says(500, 2, "something"), base.Undetermined, base.Unavailable},
		"corrupt":        {says(500, 15, "etcdserver: corrupt cluster"), base.Undetermined, base.Unavailable},
		"no space":       {says(429, 8, "etcdserver: mvcc: database space exceeded"), base.Undetermined, base.Unavailable},
		"too many":       {says(429, 8, "etcdserver: too many requests"), base.Unavailable, base.Unavailable},
		"too large":      {says(400, 3, "etcdserver: request is too large"), base.Invalid, base.Invalid},
		"too many ops":   {says(400, 3, "etcdserver: too many operations in txn request"), base.Invalid, base.Invalid},
		"needs a user":   {says(400, 3, "etcdserver: user name is empty"), base.Invalid, base.Invalid},
		"denied":         {says(403, 7, "etcdserver: permission denied"), base.Invalid, base.Invalid},
		"no token":       {says(401, 16, "etcdserver: invalid auth token"), base.Invalid, base.Invalid},
		"no gateway":     {http.NotFound, base.Invalid, base.Invalid},
		"a proxy's 502":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, base.Undetermined, base.Unavailable},
		"a proxy's page": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, base.Undetermined, base.Unavailable},
		"a redirect":     {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", 307) }, base.Undetermined, base.Unavailable},
		"a broken answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = w.Write([]byte("{"))
		}, base.Undetermined, base.Unavailable},
		"a cut connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, base.Undetermined, base.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t, gateway(t, c.answer))
			if err := put(t.Context(), s); !base.IsKind(err, c.put) {
				t.Errorf("put: %v (%v), want %v", err, base.KindOf(err), c.put)
			}
			if _, err := s.Get(t.Context(), "k", 0, -1, nil); !base.IsKind(err, c.read) {
				t.Errorf("get: %v (%v), want %v", err, base.KindOf(err), c.read)
			}
			if err := s.Delete(t.Context(), "k"); !base.IsKind(err, c.read) {
				t.Errorf("delete: %v (%v), want %v", err, base.KindOf(err), c.read)
			}
			for _, err := range s.List(t.Context(), "", "") {
				if !base.IsKind(err, c.read) {
					t.Errorf("list: %v (%v), want %v", err, base.KindOf(err), c.read)
				}
			}
		})
	}
}

const done = `{"header":{"cluster_id":"7"},"succeeded":true}`

// A member that cannot have got a request is passed over within the call; one that may have got it only for the next call.
func TestTheNextMember(t *testing.T) {
	var asked atomic.Int32
	good := gateway(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); _, _ = w.Write([]byte(done)) })
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s := store(t, strings.TrimPrefix(gone.URL, "http://"), good)
	for range 3 {
		if err := put(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Fatalf("%d requests", n)
	}
	unsure := gateway(t, says(503, 14, "etcdserver: request timed out"))
	s = store(t, unsure, good)
	if err := put(t.Context(), s); !base.IsKind(err, base.Undetermined) || asked.Load() != 3 {
		t.Fatalf("what may have happened must not be repeated elsewhere: %v", err)
	}
	if err := put(t.Context(), s); err != nil {
		t.Fatalf("the next call goes to the next member: %v", err)
	}
	all := store(t, strings.TrimPrefix(gone.URL, "http://"), strings.TrimPrefix(gone.URL, "http://"))
	if err := put(t.Context(), all); !base.IsKind(err, base.Unavailable) {
		t.Fatalf("nobody there: %v", err)
	}
}

// A member that hangs is left when the caller's time is up, and the next call goes elsewhere.
func TestAMemberThatHangs(t *testing.T) {
	held, arrived := make(chan struct{}), make(chan struct{})
	hanging := gateway(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-held })
	t.Cleanup(func() { close(held) }) // before the server is closed
	good := gateway(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(done)) })
	s := store(t, hanging, good)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }() // not before: what was not sent did not happen
	if err := put(ctx, s); !base.IsKind(err, base.Undetermined) {
		t.Fatalf("got %v", err)
	}
	if err := put(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func TestMembersOfTwoClusters(t *testing.T) {
	ids := []string{"1", "1", "2"}
	at := 0
	s := store(t, gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"header":{"cluster_id":%q},"succeeded":true}`, ids[at])
		at++
	}))
	for i := range ids {
		err := put(t.Context(), s)
		if i < 2 && err != nil || i == 2 && (!base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "two etcd clusters")) {
			t.Errorf("answer %d: %v", i, err)
		}
	}
}

// What cannot be is no data.
func TestNonsense(t *testing.T) {
	b64 := func(h head) string { return fmt.Sprintf("%q", base64.StdEncoding.EncodeToString(h.append(nil))) }
	good := head{size: 2, part: partBytes}
	for name, answer := range map[string]string{
		"no head":          `{"responses":[{"response_range":{"kvs":[{"value":"eA=="}]}},{"response_range":{}}]}`,
		"no body":          `{"responses":[{"response_range":{"kvs":[{"value":` + b64(good) + `}]}},{"response_range":{}}]}`,
		"a short body":     `{"responses":[{"response_range":{"kvs":[{"value":` + b64(good) + `}]}},{"response_range":{"kvs":[{"value":"eA=="}]}}]}`,
		"parts of no size": `{"responses":[{"response_range":{"kvs":[{"value":` + b64(head{size: 2}) + `}]}},{"response_range":{}}]}`,
	} {
		s := store(t, gateway(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		if got, err := s.Get(t.Context(), "k", 0, -1, []byte("kept")); !base.IsKind(err, base.Corrupt) || string(got) != "kept" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	s := store(t, gateway(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }))
	if _, err := s.Get(t.Context(), "k", 0, -1, nil); !base.IsKind(err, base.Unavailable) {
		t.Errorf("an answer without results: %v", err)
	}
}

func FuzzDecodeHead(f *testing.F) {
	f.Add(head{size: 5, modified: 7, part: partBytes}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHead(b); err == nil && string(h.append(nil)) != string(b) {
			t.Fatalf("%x became %+v", b, h)
		}
	})
}

// With tls=true the server is verified against ca, and cert and key are shown to it.
func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, `{"message":"no certificate","code":7}`, http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(done))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url := "etcd://" + strings.TrimPrefix(server.URL, "https://") + "/p?tls=true"
	for _, c := range []struct {
		query string
		want  base.Kind
	}{
		{"", base.Unavailable},                 // nobody vouches for the server
		{"&ca=" + dir + "/cert", base.Invalid}, // the server does not know us
		{"&ca=" + dir + "/cert&cert=" + dir + "/cert&key=" + dir + "/key", base.Unknown},
	} {
		s, err := Open(url + c.query)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.client.CloseIdleConnections)
		if err := put(t.Context(), s); base.KindOf(err) != c.want || c.want == base.Unknown && err != nil {
			t.Errorf("%q: %v, want %v", c.query, err, c.want)
		}
	}
}
