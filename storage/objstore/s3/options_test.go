package s3

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// openWith opens a store with options whose server is the handler.
func openWith(t *testing.T, options string, handler http.HandlerFunc) *Store {
	t.Helper()
	bare(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s, err := Open(t.Context(), "s3://bucket/p?region=r&endpoint="+url.QueryEscape(server.URL)+options)
	if err != nil {
		t.Fatal(err)
	}
	s.Cut(testWhole, testPart)
	return s
}

// TestOptionsOfPuts: encryption goes with every put, the storage class with cold ones only, and neither with anything else.
func TestOptionsOfPuts(t *testing.T) {
	const sse, key, class = "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Storage-Class"
	for _, c := range []struct {
		options string
		cold    bool
		want    map[string]string
	}{
		{"", true, map[string]string{}},
		{"&sse=AES256", false, map[string]string{sse: "AES256"}},
		{"&sse=aws:kms", false, map[string]string{sse: "aws:kms"}},
		{"&sse=aws:kms:dsse&kmsKey=arn:aws:kms:r:1:key/k", true, map[string]string{sse: "aws:kms:dsse", key: "arn:aws:kms:r:1:key/k"}},
		{"&storageClass=STANDARD_IA", true, map[string]string{class: "STANDARD_IA"}},
		{"&storageClass=STANDARD_IA&sse=AES256", false, map[string]string{sse: "AES256"}},
	} {
		seen := map[string]http.Header{}
		p := &parts{sizes: map[string]int{}, complete: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
		}}
		s := openWith(t, c.options, func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			p.mu.Lock()
			switch {
			case q.Has("uploads"):
				seen["create"] = r.Header
			case q.Has("partNumber"):
				seen["part"] = r.Header
			case r.Method == http.MethodPut:
				seen["put"] = r.Header
			case r.Method == http.MethodGet:
				seen["get"] = r.Header
			}
			p.mu.Unlock()
			if r.Method == http.MethodGet {
				return
			}
			p.ServeHTTP(w, r)
		})
		opt := driver.PutOptions{IfAbsent: true, Cold: c.cold}
		if err := s.Put(t.Context(), "small", [][]byte{[]byte("x")}, opt); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), "large", [][]byte{make([]byte, testWhole+1)}, opt); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "small", 0, -1, nil); err != nil {
			t.Fatal(err)
		}
		for kind, h := range seen {
			for _, name := range []string{sse, key, class} {
				want := c.want[name]
				if kind == "part" || kind == "get" {
					want = ""
				}
				if got := h.Get(name); got != want {
					t.Errorf("%s: %s has %s: %q, want %q", c.options, kind, name, got, want)
				}
			}
		}
		if len(seen) != 4 {
			t.Fatalf("%s: saw %d kinds of requests", c.options, len(seen))
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for options, mention := range map[string]string{
		"&sse=none":                             "sse=",
		"&kmsKey=k":                             "sse=aws:kms",
		"&sse=AES256&kmsKey=k":                  "sse=aws:kms",
		"&storageClass=GLACIER":                 "read at once",
		"&storageClass=STANDARD&storageClass=x": "given twice",
		"&timeout=soon":                         "timeout=",
		"&timeout=10ms":                         "from 1s",
	} {
		if _, err := parse("s3://bucket?region=r" + options); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), mention) {
			t.Errorf("%s: %v", options, err)
		}
	}
	if _, err := parse("s3://b--usw2-az1--x-s3?region=r&storageClass=STANDARD"); !base.IsKind(err, base.Invalid) {
		t.Errorf("got %v", err)
	}
}

// TestWrongRegion: the answer says which region is right, and so does the error.
func TestWrongRegion(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Amz-Bucket-Region", "ap-south-2")
			w.WriteHeader(status)
			if r.Method != http.MethodHead {
				fmt.Fprint(w, body)
			}
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"redirect":      answer(301, `<Error><Code>PermanentRedirect</Code><Endpoint>bucket.s3.ap-south-2.amazonaws.com</Endpoint></Error>`),
		"bad signature": answer(400, `<Error><Code>AuthorizationHeaderMalformed</Code><Region>ap-south-2</Region></Error>`),
	} {
		s := openWith(t, "", handler)
		_, getErr := s.Get(t.Context(), "k", 0, -1, nil)
		_, statErr := s.Stat(t.Context(), "k")
		for op, err := range map[string]error{"put": s.Put(t.Context(), "k", nil, driver.PutOptions{IfAbsent: true}), "get": getErr, "stat": statErr} {
			if !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "region=ap-south-2") {
				t.Errorf("%s, %s: %v", name, op, err)
			}
		}
	}
}

func TestPathStyle(t *testing.T) {
	var path string
	s := openWith(t, "", func(_ http.ResponseWriter, r *http.Request) { path = r.URL.Path })
	if err := s.Put(t.Context(), "k", nil, driver.PutOptions{}); err != nil || path != "/bucket/p/k" {
		t.Fatalf("path %q, %v", path, err)
	}
	for raw, want := range map[string]bool{
		"s3://abc?endpoint=http://10.0.0.1:9000":                     true,
		"s3://abc?endpoint=http://localhost":                         true,
		"s3://abc?endpoint=https://store.example.net":                false,
		"s3://abc?endpoint=https://store.example.net&pathStyle=true": true,
		"s3://abc?endpoint=http://10.0.0.1:9000&pathStyle=false":     false,
		"s3://abc?region=r":                                          false,
	} {
		if got, err := parse(raw); err != nil || got.pathStyle != want {
			t.Errorf("%s: path style %t, %v", raw, got.pathStyle, err)
		}
	}
}

func TestClockSkewIsSaid(t *testing.T) {
	s := openWith(t, "", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Date", time.Now().Add(47*time.Minute).UTC().Format(http.TimeFormat))
		w.WriteHeader(403)
		fmt.Fprint(w, `<Error><Code>RequestTimeTooSkewed</Code><Message>m</Message></Error>`)
	})
	err := s.Put(t.Context(), "k", nil, driver.PutOptions{})
	if !base.IsKind(err, base.Unavailable) || !strings.Contains(err.Error(), "behind the store's") || !strings.Contains(err.Error(), "(the clock of this machine is 4") {
		t.Fatalf("got %v", err)
	}
}

// TestTimeout: a store that accepts connections and never answers is given up after the time the URL says; with a put nothing is known then.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	s := openWith(t, "&timeout=1s", func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	if s.timeout != time.Second {
		t.Fatalf("timeout %v", s.timeout)
	}
	if err := s.Put(t.Context(), "k", nil, driver.PutOptions{IfAbsent: true}); !base.IsKind(err, base.Undetermined) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Stat(t.Context(), "k"); !base.IsKind(err, base.Unavailable) {
		t.Fatalf("got %v", err)
	}
}

// TestDirectoryBucket: requests to a bucket of S3 Express go by a session, and carry the condition and the checksum like others.
func TestDirectoryBucket(t *testing.T) {
	bare(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	sessions := 0
	var put http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Query().Has("session") {
			sessions++
			fmt.Fprintf(w, `<CreateSessionResult><Credentials><AccessKeyId>sess</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>st</SessionToken><Expiration>%s</Expiration></Credentials></CreateSessionResult>`,
				time.Now().Add(5*time.Minute).UTC().Format(time.RFC3339))
			return
		}
		put = r.Header
	}))
	t.Cleanup(server.Close)
	s, err := Open(t.Context(), "s3://wal--usw2-az1--x-s3?region=us-west-2&endpoint="+url.QueryEscape(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Put(t.Context(), "k", [][]byte{[]byte("x")}, driver.PutOptions{IfAbsent: true}); err != nil {
			t.Fatal(err)
		}
	}
	if sessions != 1 || put.Get("X-Amz-S3session-Token") != "st" || !strings.Contains(put.Get("Authorization"), "Credential=sess/") ||
		!strings.Contains(put.Get("Authorization"), "/s3express/") || put.Get("If-None-Match") != "*" || put.Get("X-Amz-Checksum-Crc32c") == "" || !s.unordered {
		t.Fatalf("%d sessions, put with %v", sessions, put)
	}
}

func TestHintsNameTheSetting(t *testing.T) {
	for code, mention := range map[string]string{
		"KMS.NotFoundException": "kmsKey=", "KMS.DisabledException": "kmsKey=", "InvalidStorageClass": "storageClass=", "PermanentRedirect": "region=",
	} {
		s := openWith(t, "", refusal(400, code))
		if err := s.Put(t.Context(), "k", nil, driver.PutOptions{}); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), mention) {
			t.Errorf("%s: %v", code, err)
		}
	}
	s := openWith(t, "", refusal(307, "TemporaryRedirect"))
	if err := s.Put(t.Context(), "k", nil, driver.PutOptions{IfAbsent: true}); !base.IsKind(err, base.Unavailable) {
		t.Errorf("a young bucket: %v", err)
	}
}
