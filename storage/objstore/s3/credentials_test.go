package s3

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// bare takes everything of AWS out of the environment, the files of whoever runs the test included.
func bare(t *testing.T) (home string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			os.Unsetenv(name) // Setenv brings it back
		}
	}
	home = t.TempDir()
	for name, value := range map[string]string{
		"HOME": home, "AWS_CONFIG_FILE": filepath.Join(home, "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, "credentials"),
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	return home
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
}

// caller is who signed a request.
type caller struct{ key, token, region string }

// callers is an S3 server that notes who calls.
type callers struct {
	sync.Mutex
	seen []caller
}

func (c *callers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	parts := strings.Split(scope, "/") // KEY/DATE/REGION/s3/aws4_request
	if len(parts) != 5 {
		parts = []string{"unsigned", "", ""}
	}
	c.Lock()
	c.seen = append(c.seen, caller{parts[0], r.Header.Get("X-Amz-Security-Token"), parts[2]})
	c.Unlock()
}

// who puts twice and says by whom the requests were signed.
func who(t *testing.T, extra string) []caller {
	t.Helper()
	var c callers
	server := httptest.NewServer(&c)
	t.Cleanup(server.Close)
	s, err := Open(t.Context(), "s3://bucket?endpoint="+url.QueryEscape(server.URL)+extra)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Put(t.Context(), "k", nil, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return c.seen
}

// metadata answers with credentials, another key each time.
type metadata struct {
	form func(n int) string
	sync.Mutex
	n    int
	last *http.Request
}

func (m *metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.Lock()
	defer m.Unlock()
	m.n++
	_ = r.ParseForm()
	m.last = r
	fmt.Fprint(w, m.form(m.n))
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// stsAnswer is what STS says to a request for a role.
func stsAnswer(action string) func(int) string {
	return func(n int) string {
		return fmt.Sprintf(`<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials>
<AccessKeyId>role-%[2]d</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>session-%[2]d</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></%[1]sResult></%[1]sResponse>`, action, n)
	}
}

func containerAnswer(expires time.Time) func(int) string {
	return func(n int) string {
		b, _ := json.Marshal(map[string]string{"AccessKeyId": fmt.Sprint("task-", n), "SecretAccessKey": "s", "Token": fmt.Sprint("token-", n), "Expiration": expires.UTC().Format(time.RFC3339)})
		return string(b)
	}
}

func wantCallers(t *testing.T, got []caller, want ...caller) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("signed by %v, want %v", got, want)
	}
}

func TestCredentialsOfTheEnvironment(t *testing.T) {
	bare(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "env")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	t.Setenv("AWS_SESSION_TOKEN", "tok")
	t.Setenv("AWS_REGION", "eu-north-1")
	wantCallers(t, who(t, ""), caller{"env", "tok", "eu-north-1"}, caller{"env", "tok", "eu-north-1"})
	got := who(t, "&region=eu-west-3") // the URL beats the environment
	wantCallers(t, got[:1], caller{"env", "tok", "eu-west-3"})
}

func TestCredentialsOfAProfile(t *testing.T) {
	home := bare(t)
	write(t, filepath.Join(home, "credentials"), "[default]\naws_access_key_id = plain\naws_secret_access_key = s\n[other]\naws_access_key_id = named\naws_secret_access_key = s\n")
	write(t, filepath.Join(home, "config"), "[default]\nregion = eu-west-1\n[profile other]\nregion = eu-west-2\n")
	wantCallers(t, who(t, "")[:1], caller{"plain", "", "eu-west-1"})
	t.Setenv("AWS_PROFILE", "other")
	wantCallers(t, who(t, "")[:1], caller{"named", "", "eu-west-2"})
}

func TestCredentialsOfAProcess(t *testing.T) {
	home := bare(t)
	script := filepath.Join(home, "give")
	write(t, script, "#!/bin/sh\necho '{\"Version\": 1, \"AccessKeyId\": \"made\", \"SecretAccessKey\": \"s\", \"SessionToken\": \"t\"}'\n")
	write(t, filepath.Join(home, "config"), "[default]\nregion = r1\ncredential_process = "+script+"\n")
	wantCallers(t, who(t, "")[:1], caller{"made", "t", "r1"})
}

func TestCredentialsOfAnAssumedRole(t *testing.T) {
	home := bare(t)
	sts := &metadata{form: stsAnswer("AssumeRole")}
	t.Setenv("AWS_ENDPOINT_URL_STS", serve(t, sts))
	t.Setenv("AWS_PROFILE", "deep")
	write(t, filepath.Join(home, "credentials"), "[base]\naws_access_key_id = low\naws_secret_access_key = s\n")
	write(t, filepath.Join(home, "config"), "[profile deep]\nregion = r1\nrole_arn = arn:aws:iam::1:role/deep\nsource_profile = base\n[profile base]\nregion = r1\n")
	wantCallers(t, who(t, ""), caller{"role-1", "session-1", "r1"}, caller{"role-1", "session-1", "r1"})
	if arn := sts.last.Form.Get("RoleArn"); arn != "arn:aws:iam::1:role/deep" {
		t.Fatalf("role %q", arn)
	}
}

func TestCredentialsOfAWebIdentity(t *testing.T) {
	home := bare(t)
	sts := &metadata{form: stsAnswer("AssumeRoleWithWebIdentity")}
	token := filepath.Join(home, "token")
	write(t, token, "the.signed.token")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_STS": serve(t, sts), "AWS_REGION": "r1", "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/pod",
	} {
		t.Setenv(name, value)
	}
	wantCallers(t, who(t, "")[:1], caller{"role-1", "session-1", "r1"})
	if f := sts.last.Form; f.Get("WebIdentityToken") != "the.signed.token" || f.Get("RoleArn") != "arn:aws:iam::1:role/pod" {
		t.Fatalf("asked STS for %v", f)
	}
}

func TestCredentialsOfAContainer(t *testing.T) {
	home := bare(t)
	m := &metadata{form: containerAnswer(time.Now().Add(time.Hour * 24))}
	token := filepath.Join(home, "token")
	write(t, token, "pod-token")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", serve(t, m)+"/creds")
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
	t.Setenv("AWS_REGION", "r1")
	wantCallers(t, who(t, ""), caller{"task-1", "token-1", "r1"}, caller{"task-1", "token-1", "r1"})
	if a := m.last.Header.Get("Authorization"); a != "pod-token" || m.last.URL.Path != "/creds" {
		t.Fatalf("asked %s as %q", m.last.URL, a)
	}
}

// TestCredentialsAreRenewed: those that are over are asked for anew, at the next request. (The SDK takes them a while before that.)
func TestCredentialsAreRenewed(t *testing.T) {
	bare(t)
	m := &metadata{form: containerAnswer(time.Now().Add(-time.Minute))}
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", serve(t, m)+"/creds")
	t.Setenv("AWS_REGION", "r1")
	got := who(t, "")
	if got[0].key == got[1].key || got[0].token == got[1].token {
		t.Fatalf("signed by %v, although the credentials are over at once", got)
	}
}

func TestCredentialsOfAnInstance(t *testing.T) {
	bare(t)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	var tokens, roles int
	imds := http.NewServeMux()
	imds.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		tokens++
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "600")
		fmt.Fprint(w, "imds-token")
	})
	const role = "/latest/meta-data/iam/security-credentials/"
	imds.HandleFunc("GET "+role, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds-token" {
			w.WriteHeader(401)
			return
		}
		if r.URL.Path == role {
			fmt.Fprint(w, "broker-role")
			return
		}
		roles++
		fmt.Fprintf(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"instance","SecretAccessKey":"s","Token":"t","Expiration":%q}`, time.Now().Add(6*time.Hour).UTC().Format(time.RFC3339))
	})
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", serve(t, imds))
	t.Setenv("AWS_REGION", "r1")
	wantCallers(t, who(t, ""), caller{"instance", "t", "r1"}, caller{"instance", "t", "r1"})
	if tokens != 1 || roles != 1 {
		t.Fatalf("%d tokens and %d roles for two requests", tokens, roles)
	}
}

func TestNoCredentials(t *testing.T) {
	bare(t)
	_, err := Open(t.Context(), "s3://bucket?region=r1")
	if !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") || !strings.Contains(err.Error(), "AWS_PROFILE") {
		t.Fatalf("got %v", err)
	}
	t.Setenv("AWS_PROFILE", "gone")
	if _, err := Open(t.Context(), "s3://bucket?region=r1"); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "gone") {
		t.Fatalf("got %v", err)
	}
}
