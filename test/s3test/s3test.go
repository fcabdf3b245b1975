//go:build unix

package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
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
	PID      int

	exited chan struct{} // closed when the process has ended
	output *output
}

// Start starts a server for the test with one empty bucket and returns the bucket's URL. It sets the credentials in the
// environment of the test, so the test cannot be parallel. The server ends with the test.
func Start(t testing.TB) (bucketURL string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s, err := Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatalf("start an S3 server: %v", err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("S3 server: %s", s.output)
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
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &Server{Endpoint: "http://" + addr, Dir: dir, exited: make(chan struct{}), output: &output{}}
	cmd := exec.Command(binary, "--access", AccessKey, "--secret", SecretKey, "--region", Region, "--port", addr,
		"--keep-alive", "--quiet", "--health", "/health", "posix", "--data-integrity-etag", dir)
	cmd.Stdout, cmd.Stderr = s.output, s.output
	started := make(chan error)
	go func() {
		// The thread that starts the child must live as long as the child, which is told to die with its parent thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		dieWithParent(cmd)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(s.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	s.PID = cmd.Process.Pid
	if err := s.awaitReady(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w; its output: %s", err, s.output)
	}
	return s, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// awaitReady asks for the server's health until it answers.
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+"/health", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				http.DefaultClient.CloseIdleConnections()
				return nil
			}
		}
		select {
		case <-poll.C:
		case <-s.exited:
			return errors.New("the S3 server ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("the S3 server does not answer: %w", ctx.Err())
		}
	}
}

// Stop ends the server at once, as a crash would, and waits until it is gone; what it confirmed is in its directory. (Asked nicely
// it would wait for clients to close their idle connections.)
func (s *Server) Stop() {
	select {
	case <-s.exited:
	default:
		_ = syscall.Kill(s.PID, syscall.SIGKILL)
		<-s.exited
	}
}

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

// output keeps the last of what a server prints.
type output struct {
	mu   sync.Mutex
	text []byte
}

const outputMax = 16 << 10

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	if n := len(o.text) - outputMax; n > 0 {
		o.text = o.text[n:]
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(bytes.TrimSpace(o.text))
}

var versionLine = regexp.MustCompile(`(?m)^\s*(?:require )?github\.com/versity/versitygw (v\S+)`)

// Binary returns the path of the server's executable, building it when it is not there.
func Binary(ctx context.Context) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "test", "s3server")
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return "", err
	}
	version := versionLine.FindSubmatch(mod)
	if version == nil {
		return "", errors.New("test/s3server/go.mod does not require github.com/versity/versitygw")
	}
	dir := filepath.Join(root, ".cache", "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "versitygw-"+string(version[1]))
	unlock, err := lock(binary + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	half := fmt.Sprintf("%s.%d", binary, os.Getpid())
	defer os.Remove(half)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", half, "github.com/versity/versitygw/cmd/versitygw")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build versitygw (needs the Go module proxy once): %w\n%s", err, out)
	}
	return binary, os.Rename(half, binary)
}

// lock makes test processes wait for each other.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// moduleRoot finds the directory of the main module's go.mod above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module sluice\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("not inside the module sluice")
		}
		dir = up
	}
}
