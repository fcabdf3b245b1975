package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/process"
)

// Sarama's functional tests want a cluster of Docker Compose: nodes 1 to 5, in racks 1 to 5, each behind a proxy of toxiproxy at a port that is
// written into the tests. Here the proxies listen on loopback, the brokers behind them share a bucket and a WAL directory and advertise the proxies, and
// what the tests ask of Docker goes to this binary under the name docker, which has the test stop and start brokers and refuses all else.
const (
	functionalBrokers = 5
	functionalPort    = 29091 // of the first proxy
	functionalMax     = 25 * time.Minute

	// functionalShort are the tests that make test runs: what a proxy delays and cuts, a group, transactions while their coordinator is stopped and started.
	functionalShort = "^(TestFuncProducing|TestFuncAdminNetworkErrorClosesControllerConnection|TestFuncConsumerGroupPartitioning|TestFuncTxnProduceWithBrokerFailure)$"

	// dockerEnv tells this binary, under the name docker, where the test is that started it.
	dockerEnv = "SLUICE_COMPAT_DOCKER"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(dockerEnv); url != "" && filepath.Base(os.Args[0]) == "docker" {
		if err := docker(url, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// docker has the test do `docker compose stop SERVICE` and `docker compose start SERVICE`.
func docker(url string, args []string) error {
	if len(args) != 3 || args[0] != "compose" {
		return fmt.Errorf("there is no Docker here, only `docker compose stop` and `start` of one service")
	}
	res, err := http.Post(url+"/"+args[1]+"/"+args[2], "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(res.Body)
		return fmt.Errorf("%s: %s", res.Status, said)
	}
	return nil
}

// functionalCluster is the cluster of sarama's functional tests.
type functionalCluster struct {
	t       *testing.T
	brokers []*broker.Process // kafka-1 and so on
}

func startFunctionalCluster(t *testing.T) *functionalCluster {
	c := &functionalCluster{t: t}
	dir := t.TempDir()
	for i := range functionalBrokers {
		id := strconv.Itoa(i + 1)
		p := broker.Start(t, broker.Options{
			Dir: filepath.Join(dir, id), Bucket: "file://" + filepath.Join(dir, "bucket"), WAL: "file://" + filepath.Join(dir, "wal") + "?shared=true",
			Args: []string{"--advertised-listeners", "PLAINTEXT://" + proxyAddr(i), "--zone", id, "--auto-create-topics-enable=false", "--group-initial-rebalance-delay-ms", "0"},
		})
		if got := nodeOf(t, p); got != id {
			t.Fatalf("broker %s is node %s", id, got)
		}
		c.brokers = append(c.brokers, p)
	}
	return c
}

func proxyAddr(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(functionalPort+i)) }

// startProxies starts toxiproxy and returns the address of its API.
func (c *functionalCluster) startProxies() string {
	c.t.Helper()
	bin, err := process.Tool(c.t.Context(), "test/compat/functional", "github.com/Shopify/toxiproxy/v2", "cmd/server")
	if err != nil {
		c.t.Fatal(err)
	}
	api := broker.FreeAddr(c.t)
	host, port, _ := net.SplitHostPort(api)
	p, err := process.Start(bin, "-host", host, "-port", port)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(p.Kill)
	post := func(path string, body any) error {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		res, err := http.Post("http://"+api+path, "application/json", bytes.NewReader(b))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode/100 != 2 {
			said, _ := io.ReadAll(res.Body)
			return fmt.Errorf("%s: %s", res.Status, said)
		}
		return nil
	}
	if err := p.Await(c.t.Context(), func() bool { return post("/reset", nil) == nil }); err != nil {
		c.t.Fatalf("toxiproxy: %v", err)
	}
	for i, b := range c.brokers {
		proxy := map[string]any{"name": fmt.Sprint("kafka", i+1), "listen": proxyAddr(i), "upstream": b.Addr, "enabled": true}
		if err := post("/proxies", proxy); err != nil {
			c.t.Fatalf("toxiproxy, a proxy at %s, a port that is written into sarama's tests: %v", proxyAddr(i), err)
		}
	}
	return api
}

// control is what docker talks to.
func (c *functionalCluster) control() http.Handler {
	mux := http.NewServeMux()
	service := func(do func(*broker.Process) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			id, ok := strings.CutPrefix(r.PathValue("service"), "kafka-")
			n, err := strconv.Atoi(id)
			if !ok || err != nil || n < 1 || n > len(c.brokers) {
				http.Error(w, "there is no such service", http.StatusNotFound)
				return
			}
			if err := do(c.brokers[n-1]); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}
	}
	mux.HandleFunc("POST /stop/{service}", service(func(p *broker.Process) error { return p.Stop(time.Minute) }))
	mux.HandleFunc("POST /start/{service}", service(func(p *broker.Process) error {
		p.Launch()
		p.AwaitReady(time.Minute)
		return nil
	}))
	return mux
}

// TestSaramaFunctional runs sarama's functional tests as they are: a few of them, or all where SLUICE_COMPAT asks for sarama-functional.
func TestSaramaFunctional(t *testing.T) {
	const sarama = "github.com/IBM/sarama"
	pattern := functionalShort
	all := wantsFunctional(os.Getenv("SLUICE_COMPAT"))
	if all {
		pattern = "."
	}
	suite := buildIn(t, "functional", "test", "-tags", "functional", "-c", sarama)
	bin, self := t.TempDir(), executable(t)
	if err := os.Symlink(self, filepath.Join(bin, "docker")); err != nil {
		t.Fatal(err)
	}
	c := startFunctionalCluster(t)
	toxiproxy := c.startProxies()
	control := httptest.NewServer(c.control())
	defer control.Close()

	ctx, cancel := context.WithTimeout(t.Context(), functionalMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, suite, "-test.v", "-test.timeout", functionalMax.String(), "-test.run", pattern)
	cmd.Dir = sourceOf(t, "functional", sarama)
	cmd.WaitDelay = 5 * time.Second // what it has started may hold its output open
	cmd.Env = append(os.Environ(), "TOXIPROXY_ADDR=http://"+toxiproxy, "KAFKA_VERSION=4.3.1", dockerEnv+"="+control.URL, "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	judgeFunctional(t, all, string(out), err)
}

func executable(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// wantsFunctional reports whether clients, parts of names with commas between, asks for all of the tests.
func wantsFunctional(clients string) bool {
	for name := range strings.SplitSeq(clients, ",") {
		if name == "all" || name != "" && strings.Contains("sarama-functional", name) {
			return true
		}
	}
	return false
}

var functionalOutcome = regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\S+)`)

// judgeFunctional compares the outcomes of tests with functional/expected.txt, a line `TEST: REASON` for each that does not pass.
func judgeFunctional(t *testing.T, all bool, out string, ended error) {
	t.Helper()
	lines, err := os.ReadFile("functional/expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	expected := map[string]string{}
	for line := range strings.Lines(string(lines)) {
		if name, reason, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, "#") {
			expected[name] = reason
		}
	}
	counts := map[string]int{}
	for _, m := range functionalOutcome.FindAllStringSubmatch(out, -1) {
		how, name := m[1], m[2]
		counts[how]++
		reason, listed := expected[name]
		switch delete(expected, name); {
		case how == "PASS" && listed:
			t.Errorf("%s passes: its line in functional/expected.txt is not needed any more", name)
		case how != "PASS" && !listed:
			t.Errorf("%s: %s", name, how)
		case listed:
			t.Logf("%s: %s, %s", name, how, reason)
		}
	}
	if all {
		for name := range expected {
			t.Errorf("there is no test %s, which functional/expected.txt names", name)
		}
	}
	t.Logf("%d passed, %d failed, %d skipped themselves", counts["PASS"], counts["FAIL"], counts["SKIP"])
	if counts["PASS"] == 0 || ended != nil && counts["FAIL"] == 0 {
		t.Errorf("the tests did not come to their end: %v", ended)
	}
	if t.Failed() {
		t.Logf("what they printed:\n%s", out[max(0, len(out)-200_000):])
	}
}
