//go:build unix

package s3test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"sluice/test/process"
)

// The credentials every test server accepts.
const (
	AccessKey = "sluice-test"
	SecretKey = "sluice-test-secret"
	Region    = "us-east-1"
)

// Server is a running S3 server.
type Server struct {
	Endpoint string // http://127.0.0.1:PORT
	Dir      string // its buckets are directories in it

	process *process.Process
}

// credentials is what the AWS SDK finds in the environment.
var credentials = map[string]string{
	"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true",
}

// SetCredentials puts the credentials of every test server into the environment of the process, for a TestMain: tests that call Start
// can then be parallel.
func SetCredentials() {
	for name, value := range credentials {
		os.Setenv(name, value)
	}
}

// Start starts a server for the test with one empty bucket and returns the bucket's URL. It sets the credentials in the
// environment of the test, so the test cannot be parallel, unless SetCredentials has done so before. The server ends with the test.
func Start(t testing.TB) (bucketURL string) {
	t.Helper()
	for name, value := range credentials {
		if now, ok := os.LookupEnv(name); !ok || now != value {
			t.Setenv(name, value)
		}
	}
	s, err := Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatalf("start an S3 server: %v", err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("S3 server: %s", s.process.Output)
		}
	})
	bucket := "test"
	if err := s.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatalf("create a bucket: %v", err)
	}
	return s.URL(bucket)
}

// URL returns the URL of a bucket for objstore.Open.
func (s *Server) URL(bucket string) string {
	return fmt.Sprintf("s3://%s?endpoint=%s&region=%s&pathStyle=true", bucket, url.QueryEscape(s.Endpoint), Region)
}

// Run starts a server on dir; the caller stops it. ctx bounds the start, not the server's life.
func Run(ctx context.Context, dir string) (*Server, error) {
	binary, err := Binary(ctx)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ { // a port that was free a moment ago may be taken
		s, err := run(ctx, binary, dir)
		if err == nil || ctx.Err() != nil || try == 5 {
			return s, err
		}
	}
}

func run(ctx context.Context, binary, dir string) (*Server, error) {
	addr, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	p, err := process.Start(binary, "--access", AccessKey, "--secret", SecretKey, "--region", Region, "--port", addr,
		"--keep-alive", "--quiet", "--health", "/health", "posix", "--data-integrity-etag", dir)
	if err != nil {
		return nil, err
	}
	s := &Server{Endpoint: "http://" + addr, Dir: dir, process: p}
	if err := p.Await(ctx, s.healthy); err != nil {
		s.Stop()
		return nil, fmt.Errorf("S3 server: %w", err)
	}
	return s, nil
}

func (s *Server) healthy() bool {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(s.Endpoint + "/health")
	if err != nil {
		return false
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	return resp.StatusCode == http.StatusOK
}

// Stop ends the server at once, as a crash would, and waits until it is gone; what it confirmed is in its directory. (Asked nicely
// it would wait for clients to close their idle connections.)
func (s *Server) Stop() { s.process.Kill() }

// CreateBucket creates an empty bucket.
func (s *Server) CreateBucket(ctx context.Context, name string) error {
	client := awss3.New(awss3.Options{
		Region: Region, BaseEndpoint: &s.Endpoint, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}, nil
		}),
	})
	_, err := client.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: &name})
	return err
}

// Binary returns the path of the server's executable, building it when it is not there.
func Binary(ctx context.Context) (string, error) {
	return process.Tool(ctx, "test/s3server", "github.com/versity/versitygw", "cmd/versitygw")
}
