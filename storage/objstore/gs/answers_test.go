package gs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/request"
)

func open(t *testing.T, options string, handler http.HandlerFunc) *Store {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s, err := Open(t.Context(), "gs://bucket/p?endpoint="+url.QueryEscape(server.URL)+options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func refusal(status int, reason, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":%q,"errors":[{"reason":%q}]}}`, status, message, reason)
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
		{"taken", refusal(412, "conditionNotMet", "at least one of the pre-conditions"), base.Exists, base.Unavailable, ""},
		{"conflict", refusal(409, "conflict", "another operation"), base.Undetermined, base.Unavailable, ""},
		{"too many", refusal(429, "rateLimitExceeded", "the object is changed too often"), base.Unavailable, base.Unavailable, ""},
		{"quota", refusal(403, "rateLimitExceeded", "quota"), base.Unavailable, base.Unavailable, ""},
		{"backend", refusal(503, "backendError", "try again"), base.Undetermined, base.Unavailable, ""},
		{"internal", refusal(500, "internalError", "oops"), base.Undetermined, base.Unavailable, ""},
		{"gateway", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, base.Undetermined, base.Unavailable, ""},
		{"denied", refusal(403, "forbidden", "does not have storage.objects.create"), base.Invalid, base.Invalid, "Storage Object User"},
		{"token", refusal(401, "authError", "Invalid Credentials"), base.Unavailable, base.Unavailable, "GOOGLE_APPLICATION_CREDENTIALS"},
		{"no bucket", refusal(404, "notFound", "The specified bucket does not exist."), base.Invalid, base.Invalid, "does the bucket"},
		{"no object", refusal(404, "notFound", "No such object: x/y"), base.NotFound, base.NotFound, ""},
		{"behind the end", refusal(416, "requestedRangeNotSatisfiable", "range"), base.OutOfRange, base.OutOfRange, ""},
		{"bad checksum", refusal(400, "invalid", "Provided CRC32C does not match"), base.Invalid, base.Invalid, ""},
		{"break off", breakOff, base.Undetermined, base.Unavailable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, "&anonymous=true", c.handler)
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

// TestWhatAPutSends looks at the request that the emulator takes on trust.
func TestWhatAPutSends(t *testing.T) {
	body := [][]byte{[]byte("some"), nil, []byte(" body")}
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, request.CRC32C(body)))
	const key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
	for _, opt := range []driver.PutOptions{{IfAbsent: true, Cold: true}, {}} {
		var q url.Values
		var about map[string]string
		var sent string
		s := open(t, "&anonymous=true&storageClass=NEARLINE&kmsKey="+key, func(w http.ResponseWriter, r *http.Request) {
			q = r.URL.Query()
			_, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
			m := multipart.NewReader(r.Body, params["boundary"])
			if part, err := m.NextPart(); err == nil {
				_ = json.NewDecoder(part).Decode(&about)
			}
			if part, err := m.NextPart(); err == nil {
				b, _ := io.ReadAll(part)
				sent = string(b)
			}
			fmt.Fprintf(w, `{"crc32c":%q}`, sum)
		})
		if err := s.Put(t.Context(), "k/1", body, opt); err != nil {
			t.Fatal(err)
		}
		generation, class := "", ""
		if opt.IfAbsent {
			generation, class = "0", "NEARLINE"
		}
		if q.Get("ifGenerationMatch") != generation || q.Get("kmsKeyName") != key || about["name"] != "p/k/1" || about["crc32c"] != sum || about["storageClass"] != class || sent != "some body" {
			t.Errorf("%+v: sent %v, %v, %q", opt, q, about, sent)
		}
	}
	s := open(t, "&anonymous=true", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"crc32c":"AAAAAA=="}`) })
	if err := s.Put(t.Context(), "k", body, driver.PutOptions{}); !base.IsKind(err, base.Corrupt) {
		t.Errorf("the store has something else: %v", err)
	}
}

// bare takes everything of Google out of the environment.
func bare(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("CLOUDSDK_CONFIG", home)
	t.Setenv("GCE_METADATA_HOST", "")
	return home
}

// authorization puts and returns what the request was authorized by.
func authorization(t *testing.T) (got string) {
	t.Helper()
	s := open(t, "", func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		fmt.Fprint(w, `{"name":"p/k","size":"1","updated":"2026-01-02T03:04:05Z"}`)
	})
	if _, err := s.Stat(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	return got
}

// tokens answers a request for a token.
func tokens(t *testing.T, form *url.Values) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		*form = r.Form
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"the-token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestServiceAccount(t *testing.T) {
	home := bare(t)
	secret, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	var form url.Values
	file, _ := json.Marshal(map[string]string{"type": "service_account", "client_email": "broker@p.example", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": tokens(t, &form)})
	name := filepath.Join(home, "key.json")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", name)
	if got := authorization(t); got != "Bearer the-token" {
		t.Fatalf("authorized by %q", got)
	}
	parts := strings.Split(form.Get("assertion"), ".")
	if len(parts) != 3 {
		t.Fatalf("asked for a token with %v", form)
	}
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if !strings.Contains(string(claims), "broker@p.example") || !strings.Contains(string(claims), scope) {
		t.Fatalf("asked for a token with %s", claims)
	}
}

// TestUserCredentials: gcloud's file is found, one that is named and missing is an error. Where users get their tokens is fixed, so the asking is not tested.
func TestUserCredentials(t *testing.T) {
	home := bare(t)
	dir := filepath.Join(home, ".config", "gcloud")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := `{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}`
	if err := os.WriteFile(filepath.Join(dir, "application_default_credentials.json"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), "gs://bucket"); err != nil || s.token == nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(home, "none"))
	if _, err := Open(t.Context(), "gs://bucket"); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "GOOGLE_APPLICATION_CREDENTIALS") {
		t.Fatalf("a file that is not there: %v", err)
	}
}

func TestMetadataServer(t *testing.T) {
	bare(t)
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if strings.HasSuffix(r.URL.Path, "/token") && r.Header.Get("Metadata-Flavor") == "Google" {
			asked = r.URL.Path
			fmt.Fprint(w, `{"access_token":"machine","token_type":"Bearer","expires_in":3600}`)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	if got := authorization(t); got != "Bearer machine" || asked != "/computeMetadata/v1/instance/service-accounts/default/token" {
		t.Fatalf("authorized by %q, asked %s", got, asked)
	}
}
