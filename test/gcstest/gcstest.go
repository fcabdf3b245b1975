//go:build unix

package gcstest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"

	"sluice/test/process"
)

// Start starts a server for the test with one empty bucket and returns the bucket's URL. The server ends with the test.
func Start(t testing.TB) (bucketURL string) {
	t.Helper()
	binary, err := process.Tool(t.Context(), "test/gcsserver", "github.com/fsouza/fake-gcs-server", ".")
	if err != nil {
		t.Fatal(err)
	}
	var server *process.Process
	endpoint := ""
	for try := 1; ; try++ { // a port that was free a moment ago may be taken
		if server, endpoint, err = run(t.Context(), binary); err == nil {
			break
		}
		if try == 5 {
			t.Fatalf("start fake-gcs-server: %v", err)
		}
	}
	t.Cleanup(func() {
		server.Kill()
		if t.Failed() {
			t.Logf("fake-gcs-server: %s", server.Output)
		}
	})
	const bucket = "test"
	answer, err := http.Post(endpoint+"/storage/v1/b?project=test", "application/json", bytes.NewReader([]byte(`{"name":"`+bucket+`"}`)))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("create a bucket: %v, %+v", err, answer)
	}
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	return fmt.Sprintf("gs://%s?anonymous=true&endpoint=%s", bucket, url.QueryEscape(endpoint))
}

func run(ctx context.Context, binary string) (*process.Process, string, error) {
	addr, err := process.FreeAddress()
	if err != nil {
		return nil, "", err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, "", err
	}
	endpoint := "http://" + addr
	p, err := process.Start(binary, "-scheme", "http", "-host", host, "-port", port, "-backend", "memory", "-public-host", addr, "-external-url", endpoint, "-log-level", "error")
	if err != nil {
		return nil, "", err
	}
	err = p.Await(ctx, func() bool {
		answer, err := http.Get(endpoint + "/_internal/healthcheck")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	if err != nil {
		p.Kill()
	}
	return p, endpoint, err
}
