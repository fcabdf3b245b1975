package s3

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/request"
)

// open returns a store whose server is the handler.
func open(t *testing.T, handler http.HandlerFunc) *Store {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s, err := Open(t.Context(), "s3://bucket/p?region=r&endpoint="+url.QueryEscape(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	s.Cut(testWhole, testPart)
	return s
}

// refusal answers as S3 does when something is wrong.
func refusal(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>said the test</Message></Error>`, code)
	}
}

// breakOff closes the connection without an answer.
func breakOff(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		conn.Close()
	}
}

func TestAnswersToAPut(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    base.Kind
		mention string
	}{
		{"taken", refusal(412, "PreconditionFailed"), base.Exists, ""},
		{"conflict", refusal(409, "ConditionalRequestConflict"), base.Undetermined, ""},
		{"slow down", refusal(503, "SlowDown"), base.Unavailable, ""},
		{"unavailable", refusal(503, "ServiceUnavailable"), base.Undetermined, ""},
		{"internal", refusal(500, "InternalError"), base.Undetermined, ""},
		{"gateway", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, base.Undetermined, ""},
		{"bad digest", refusal(400, "BadDigest"), base.Unavailable, ""},
		{"expired", refusal(400, "ExpiredToken"), base.Unavailable, ""},
		{"skewed", refusal(403, "RequestTimeTooSkewed"), base.Unavailable, "clock"},
		{"denied", refusal(403, "AccessDenied"), base.Invalid, "AWS_ACCESS_KEY_ID"},
		{"unknown key", refusal(403, "InvalidAccessKeyId"), base.Invalid, "AWS_ACCESS_KEY_ID"},
		{"no bucket", refusal(404, "NoSuchBucket"), base.Invalid, "pathStyle"},
		{"wrong region", refusal(301, "PermanentRedirect"), base.Invalid, "region="},
		{"no conditions", refusal(501, "NotImplemented"), base.Invalid, ""},
		{"break off", breakOff, base.Undetermined, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := open(t, c.handler).Put(t.Context(), "k", [][]byte{[]byte("body")}, driver.PutOptions{IfAbsent: true})
			if !base.IsKind(err, c.want) || !strings.Contains(err.Error(), c.mention) {
				t.Fatalf("kind %v, want %v mentioning %q: %v", base.KindOf(err), c.want, c.mention, err)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // the port is free now, so connections are refused
	s, err := Open(t.Context(), "s3://bucket?endpoint="+url.QueryEscape("http://"+l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "k", nil, driver.PutOptions{}); !base.IsKind(err, base.Unavailable) {
		t.Fatalf("nothing was sent: %v", err)
	}
}

// TestAnInterruptedPutIsUndetermined also shows, under the race detector, that the body is free once Put has returned, although
// the connection still wants to send it.
func TestAnInterruptedPutIsUndetermined(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1000)
		cancel()
		<-release
	})
	defer close(release)
	s.parts = driver.Parts
	body := make([]byte, 12<<20)
	err := s.Put(ctx, "k", [][]byte{body}, driver.PutOptions{IfAbsent: true})
	clear(body)
	if !base.IsKind(err, base.Undetermined) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestWhatAPutSends(t *testing.T) {
	var head http.Header
	var got []byte
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		head = r.Header
		got, _ = io.ReadAll(r.Body)
	})
	body := [][]byte{[]byte("some"), nil, []byte(" body")}
	if err := s.Put(t.Context(), "k", body, driver.PutOptions{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, request.CRC32C(body)))
	for name, want := range map[string]string{"If-None-Match": "*", "X-Amz-Checksum-Crc32c": sum, "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", "Content-Length": "9", "Expect": ""} {
		if v := head.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if string(got) != "some body" {
		t.Errorf("body %q", got)
	}
}

func TestAnswersToAGet(t *testing.T) {
	answer := func(status int, length int, contentRange string, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(length))
			if contentRange != "" {
				w.Header().Set("Content-Range", contentRange)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		off, n  int64
		want    base.Kind // Unknown: success
	}{
		{"right", answer(206, 4, "bytes 2-5/10", "cdef"), 2, 4, base.Unknown},
		{"right to the end", answer(206, 8, "bytes 2-9/10", "cdefghij"), 2, -1, base.Unknown},
		{"whole object is the range", answer(200, 4, "", "abcd"), 0, 4, base.Unknown},
		{"broken off", answer(206, 4, "bytes 2-5/10", "cd"), 2, 4, base.Unavailable},
		{"other range", answer(206, 4, "bytes 3-6/10", "defg"), 2, 4, base.Unavailable},
		{"shorter range", answer(206, 3, "bytes 2-4/10", "cde"), 2, 4, base.Unavailable},
		{"length and range differ", answer(206, 3, "bytes 2-5/10", "cde"), 2, 4, base.Unavailable},
		{"range ignored", answer(200, 10, "", "abcdefghij"), 2, 4, base.Unavailable},
		{"range ignored at 0", answer(200, 10, "", "abcdefghij"), 0, 4, base.Unavailable},
		{"nonsense range", answer(206, 4, "bytes two-five/10", "cdef"), 2, 4, base.Unavailable},
		{"object too short", answer(206, 3, "bytes 2-4/5", "cde"), 2, 4, base.OutOfRange},
		{"object too short, whole", answer(200, 3, "", "abc"), 0, 4, base.OutOfRange},
		{"behind the end", refusal(416, "InvalidRange"), 2, 4, base.OutOfRange},
		{"missing", refusal(404, "NoSuchKey"), 0, -1, base.NotFound},
		{"slow down", refusal(503, "SlowDown"), 0, -1, base.Unavailable},
		{"internal", refusal(500, "InternalError"), 0, -1, base.Unavailable},
		{"denied", refusal(403, "AccessDenied"), 0, -1, base.Invalid},
		{"no answer", breakOff, 0, -1, base.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := open(t, c.handler).Get(t.Context(), "k", c.off, c.n, []byte("dst "))
			if c.want == base.Unknown {
				if want := "abcdefghij"[c.off:]; err != nil || !strings.HasPrefix("dst "+want, string(got)) || c.n > 0 && len(got) != 4+int(c.n) {
					t.Fatalf("%q, %v", got, err)
				}
			} else if !base.IsKind(err, c.want) || string(got) != "dst " {
				t.Fatalf("%q, kind %v, want %v: %v", got, base.KindOf(err), c.want, err)
			}
		})
	}
}

// parts is a server of multipart uploads that can be told what to answer.
type parts struct {
	mu       sync.Mutex
	sizes    map[string]int
	failures atomic.Int32 // parts to fail first
	complete http.HandlerFunc
	aborted  atomic.Int32
	ifNone   string
}

func (p *parts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodHead:
		w.WriteHeader(404)
	case q.Has("uploads"):
		fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPut:
		b, _ := io.ReadAll(r.Body)
		if p.failures.Add(-1) >= 0 {
			refusal(503, "SlowDown")(w, r)
			return
		}
		p.mu.Lock()
		p.sizes[q.Get("partNumber")] = len(b)
		p.mu.Unlock()
		w.Header().Set("ETag", `"e`+q.Get("partNumber")+`"`)
	case r.Method == http.MethodPost:
		p.ifNone = r.Header.Get("If-None-Match")
		p.complete(w, r)
	case r.Method == http.MethodDelete:
		p.aborted.Add(1)
		w.WriteHeader(204)
	}
}

func TestUploadInParts(t *testing.T) {
	completed := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
	}
	for _, c := range []struct {
		name     string
		complete http.HandlerFunc
		failures int32
		want     base.Kind // Unknown: success
	}{
		{"success", completed, 0, base.Unknown},
		{"some parts are throttled", completed, 3, base.Unknown},
		{"taken", refusal(412, "PreconditionFailed"), 0, base.Exists},
		{"conflict", refusal(409, "ConditionalRequestConflict"), 0, base.Undetermined},
		{"error in a good answer", refusal(200, "InternalError"), 0, base.Undetermined},
		{"upload gone", refusal(404, "NoSuchUpload"), 0, base.Undetermined},
		{"break off", breakOff, 0, base.Undetermined},
		{"throttled for good", completed, 1 << 20, base.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &parts{sizes: map[string]int{}, complete: c.complete}
			p.failures.Store(c.failures)
			s := open(t, p.ServeHTTP)
			body := make([]byte, 2*testPart+5)
			err := s.Put(t.Context(), "k", [][]byte{body[:100], body[100:]}, driver.PutOptions{IfAbsent: true})
			if c.want == base.Unknown {
				if err != nil || p.aborted.Load() != 0 || p.ifNone != "*" || fmt.Sprint(p.sizes) != fmt.Sprintf("map[1:%d 2:%d 3:5]", testPart, testPart) {
					t.Fatalf("%v, parts %v", err, p.sizes)
				}
			} else if !base.IsKind(err, c.want) || p.aborted.Load() != 1 {
				t.Fatalf("kind %v, want %v, %d aborts: %v", base.KindOf(err), c.want, p.aborted.Load(), err)
			}
		})
	}
}

func TestListingsThatCannotBe(t *testing.T) {
	page := func(truncated bool, token string, keys ...string) string {
		var b strings.Builder
		fmt.Fprintf(&b, `<ListBucketResult><IsTruncated>%v</IsTruncated><NextContinuationToken>%s</NextContinuationToken>`, truncated, token)
		for _, k := range keys {
			fmt.Fprintf(&b, `<Contents><Key>p/%s</Key><Size>1</Size><LastModified>2026-01-02T03:04:05Z</LastModified></Contents>`, k)
		}
		return b.String() + `</ListBucketResult>`
	}
	serve := func(pages map[string]string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, pages[r.URL.Query().Get("continuation-token")])
		}
	}
	for _, c := range []struct {
		name  string
		pages map[string]string
		keys  string
		want  base.Kind
	}{
		{"two pages", map[string]string{"": page(true, "t", "a", "b"), "t": page(false, "", "c", "dir/")}, "a b c", base.Unknown},
		{"an empty page", map[string]string{"": page(true, "t"), "t": page(false, "", "c")}, "c", base.Unknown},
		{"out of order", map[string]string{"": page(true, "t", "b"), "t": page(false, "", "a")}, "b", base.Corrupt},
		{"going in circles", map[string]string{"": page(true, "t", "a"), "t": page(true, "t", "b")}, "a b", base.Unavailable},
		{"no way on", map[string]string{"": page(true, "", "a")}, "a", base.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			var keys []string
			var last error
			for info, err := range open(t, serve(c.pages)).List(t.Context(), "", "") {
				if last = err; err == nil {
					keys = append(keys, info.Key)
				}
			}
			if strings.Join(keys, " ") != c.keys || (last != nil) != (c.want != base.Unknown) || last != nil && !base.IsKind(last, c.want) {
				t.Fatalf("%q, %v", keys, last)
			}
		})
	}
}

func TestDirectoryBucketsAreSorted(t *testing.T) {
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Query().Get("prefix"); p != "p/x/" {
			t.Errorf("prefix %q", p)
		}
		fmt.Fprint(w, `<ListBucketResult>`)
		for _, k := range []string{"x/a3", "x/a1", "x/b", "x/a2"} {
			fmt.Fprintf(w, `<Contents><Key>p/%s</Key><Size>1</Size><LastModified>2026-01-02T03:04:05Z</LastModified></Contents>`, k)
		}
		fmt.Fprint(w, `</ListBucketResult>`)
	})
	s.unordered = true
	var keys []string
	for info, err := range s.List(t.Context(), "x/a", "x/a1") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	if strings.Join(keys, " ") != "x/a2 x/a3" {
		t.Fatalf("%q", keys)
	}
}

func TestDeleteReportsWhatFailed(t *testing.T) {
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `<DeleteResult><Error><Key>p/b</Key><Code>SlowDown</Code><Message>m</Message></Error></DeleteResult>`)
	})
	if err := s.Delete(t.Context(), "a", "b"); !base.IsKind(err, base.Unavailable) {
		t.Fatalf("got %v", err)
	}
}
