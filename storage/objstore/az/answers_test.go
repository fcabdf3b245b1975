package az

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

var anyKey = env(map[string]string{"AZURE_STORAGE_KEY": base64.StdEncoding.EncodeToString([]byte("a key"))})

func open(t *testing.T, options string, getenv func(string) string, handler http.HandlerFunc) *Store {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s, err := Open(t.Context(), "az://account/container/p?endpoint="+url.QueryEscape(server.URL)+options, getenv)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func refusal(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Ms-Error-Code", code)
		w.WriteHeader(status)
		fmt.Fprintf(w, "\ufeff<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>said the test\nRequestId:1</Message></Error>", code)
	}
}

func breakOff(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		handler  http.HandlerFunc
		put, get base.Kind
		mention  string
	}{
		{"taken", refusal(409, "BlobAlreadyExists"), base.Exists, base.Unavailable, ""},
		{"condition", refusal(412, "ConditionNotMet"), base.Exists, base.Unavailable, ""},
		{"conflict", refusal(409, "LeaseAlreadyPresent"), base.Undetermined, base.Unavailable, ""},
		{"busy", refusal(503, "ServerBusy"), base.Unavailable, base.Unavailable, ""},
		{"too many", refusal(429, "TooManyRequests"), base.Unavailable, base.Unavailable, ""},
		{"timed out", refusal(500, "OperationTimedOut"), base.Undetermined, base.Unavailable, ""},
		{"internal", refusal(500, "InternalError"), base.Undetermined, base.Unavailable, ""},
		{"gateway", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, base.Undetermined, base.Unavailable, ""},
		{"wrong key", refusal(403, "AuthenticationFailed"), base.Invalid, base.Invalid, "AZURE_STORAGE_KEY"},
		{"token", refusal(401, "InvalidAuthenticationInfo"), base.Unavailable, base.Unavailable, "token"},
		{"role", refusal(403, "AuthorizationPermissionMismatch"), base.Invalid, base.Invalid, "Storage Blob Data Contributor"},
		{"no container", refusal(404, "ContainerNotFound"), base.Invalid, base.Invalid, "does the container"},
		{"no blob", refusal(404, "BlobNotFound"), base.NotFound, base.NotFound, ""},
		{"behind the end", refusal(416, "InvalidRange"), base.OutOfRange, base.OutOfRange, ""},
		{"bad checksum", refusal(400, "Md5Mismatch"), base.Unavailable, base.Unavailable, ""},
		{"break off", breakOff, base.Undetermined, base.Unavailable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, "", anyKey, c.handler)
			err := s.Put(t.Context(), "k", [][]byte{[]byte("body")}, driver.PutOptions{IfAbsent: true})
			if !base.IsKind(err, c.put) || !strings.Contains(err.Error(), c.mention) {
				t.Errorf("put: kind %v, want %v: %v", base.KindOf(err), c.put, err)
			}
			if _, err := s.Get(t.Context(), "k", 0, 4, nil); !base.IsKind(err, c.get) {
				t.Errorf("get: kind %v, want %v: %v", base.KindOf(err), c.get, err)
			}
		})
	}
}

func TestWhatAPutSends(t *testing.T) {
	sum := md5.Sum([]byte("some body"))
	for _, opt := range []driver.PutOptions{{IfAbsent: true, Cold: true}, {}} {
		var head http.Header
		var got []byte
		s := open(t, "&tier=Cool", anyKey, func(w http.ResponseWriter, r *http.Request) {
			head = r.Header
			got, _ = io.ReadAll(r.Body)
			w.WriteHeader(201)
		})
		if err := s.Put(t.Context(), "k", [][]byte{[]byte("some"), nil, []byte(" body")}, opt); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"Content-Md5": base64.StdEncoding.EncodeToString(sum[:]), "X-Ms-Blob-Type": "BlockBlob", "X-Ms-Version": apiVersion, "If-None-Match": "", "X-Ms-Access-Tier": ""}
		if opt.IfAbsent {
			want["If-None-Match"], want["X-Ms-Access-Tier"] = "*", "Cool"
		}
		for name, v := range want {
			if head.Get(name) != v {
				t.Errorf("%s: %q, want %q", name, head.Get(name), v)
			}
		}
		if string(got) != "some body" || !strings.HasPrefix(head.Get("Authorization"), "SharedKey account:") {
			t.Errorf("%q by %q", got, head.Get("Authorization"))
		}
	}
}

// identity answers requests for tokens, another token each time.
type identity struct {
	expires string
	asked   []*http.Request
}

func (i *identity) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	i.asked = append(i.asked, r)
	fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":%s,"token_type":"Bearer"}`, len(i.asked), i.expires)
}

// authorizations asks twice and returns what the requests were authorized by.
func authorizations(t *testing.T, i *identity, values map[string]string) (got []string) {
	t.Helper()
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	for name, v := range values {
		values[name] = strings.ReplaceAll(v, "SERVER", server.URL)
	}
	s := open(t, "", env(values), func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		w.Header().Set("Content-Length", "1")
		w.Header().Set("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
	})
	for range 2 {
		if _, err := s.Stat(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestIdentities(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("signed.by.kubernetes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  map[string]string
		path string
		form map[string]string
		head [2]string
	}{
		"service principal": {map[string]string{"AZURE_AUTHORITY_HOST": "SERVER/", "AZURE_TENANT_ID": "ten", "AZURE_CLIENT_ID": "cli", "AZURE_CLIENT_SECRET": "sec"},
			"/ten/oauth2/v2.0/token", map[string]string{"client_id": "cli", "client_secret": "sec", "scope": resource + ".default", "grant_type": "client_credentials"}, [2]string{}},
		"workload identity": {map[string]string{"AZURE_AUTHORITY_HOST": "SERVER", "AZURE_TENANT_ID": "ten", "AZURE_CLIENT_ID": "cli", "AZURE_FEDERATED_TOKEN_FILE": file},
			"/ten/oauth2/v2.0/token", map[string]string{"client_id": "cli", "client_assertion": "signed.by.kubernetes"}, [2]string{}},
		"app service": {map[string]string{"IDENTITY_ENDPOINT": "SERVER/msi", "IDENTITY_HEADER": "proof"},
			"/msi", map[string]string{"resource": resource, "api-version": "2019-08-01"}, [2]string{"X-Identity-Header", "proof"}},
		"virtual machine": {map[string]string{"AZURE_POD_IDENTITY_AUTHORITY_HOST": "SERVER", "AZURE_CLIENT_ID": "mine"},
			"/metadata/identity/oauth2/token", map[string]string{"resource": resource, "client_id": "mine"}, [2]string{"Metadata", "true"}},
	} {
		i := &identity{expires: "3600"}
		got := authorizations(t, i, c.env)
		if fmt.Sprint(got) != "[Bearer token-1 Bearer token-1]" || len(i.asked) != 1 || i.asked[0].URL.Path != c.path || i.asked[0].Header.Get(c.head[0]) != c.head[1] {
			t.Fatalf("%s: authorized by %q, asked %+v", name, got, i.asked)
		}
		for param, want := range c.form {
			if v := i.asked[0].Form.Get(param); v != want {
				t.Errorf("%s: %s=%q, want %q", name, param, v, want)
			}
		}
	}
}

// TestTokensAreRenewed: one that will soon be over is asked for anew; managed identities give the time as a text.
func TestTokensAreRenewed(t *testing.T) {
	got := authorizations(t, &identity{expires: `"60"`}, map[string]string{"AZURE_POD_IDENTITY_AUTHORITY_HOST": "SERVER"})
	if fmt.Sprint(got) != "[Bearer token-1 Bearer token-2]" {
		t.Fatalf("authorized by %q", got)
	}
}

func TestNoIdentity(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s := open(t, "", env(map[string]string{"AZURE_POD_IDENTITY_AUTHORITY_HOST": gone.URL}), func(http.ResponseWriter, *http.Request) { t.Error("asked without credentials") })
	if _, err := s.Stat(t.Context(), "k"); !base.IsKind(err, base.Unavailable) || !strings.Contains(err.Error(), "AZURE_STORAGE_KEY") {
		t.Fatalf("got %v", err)
	}
	for name, value := range map[string]string{"AZURE_STORAGE_KEY": "not base64!", "AZURE_STORAGE_SAS_TOKEN": "sv=1"} {
		if _, err := Open(t.Context(), "az://account/container", env(map[string]string{name: value})); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStringToSign has the example of Azure's documentation of shared keys, its list of headers and parameters.
func TestStringToSign(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "http://myaccount.blob.core.windows.net/mycontainer?comp=metadata&restype=container&timeout=20", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Ms-Date", "Fri, 26 Jun 2015 23:39:12 GMT")
	r.Header.Set("X-Ms-Version", "2015-02-21")
	const want = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
	if got := (sharedKey{account: "myaccount"}).stringToSign(r); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}
