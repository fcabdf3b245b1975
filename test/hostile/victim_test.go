package hostile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/test/broker"
)

// Sizes of the broker under attack, and what its memory may come to.
const (
	memoryMiB   = 128
	requestMiB  = 100 // socket.request.max.bytes, Kafka's default
	residualMiB = 64  // code, stacks, kernel buffers on its behalf, what the collector has not collected
	boundMiB    = memoryMiB + requestMiB + residualMiB
)

// Addresses that attackers come from; clients are at 127.0.0.1. The second may have few connections.
const (
	attackerIP = "127.0.0.2"
	limitedIP  = "127.0.0.3"
	limitedTo  = 20
)

// victim is the broker under attack.
type victim struct {
	t                 *testing.T
	p                 *broker.Process
	plain, login, tls string
}

func newVictim(t *testing.T) *victim {
	broker.Binary(t) // which takes a while: the free ports are to be used at once
	v := &victim{t: t, plain: broker.FreeAddr(t), login: broker.FreeAddr(t), tls: broker.FreeAddr(t)}
	dir := t.TempDir()
	users := write(t, dir, "users", []byte("honest = client\n"))
	v.p = broker.Start(t, broker.Options{Addr: v.plain, Many: true, Args: []string{
		"--memory", fmt.Sprintf("%dMiB", memoryMiB), "--set", fmt.Sprintf("socket.request.max.bytes=%dMiB", requestMiB),
		"--set", "listeners=PLAINTEXT://" + v.plain + ",SASL_PLAINTEXT://" + v.login + ",SSL://" + v.tls,
		"--set", "ssl.keystore.location=" + certificate(t, dir), "--set", "sasl-users=" + users, "--set", "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256",
		"--set", fmt.Sprintf("max.connections.per.ip.overrides=%s:%d", limitedIP, limitedTo),
		"--set", "connection.failed.authentication.delay.ms=1", "--set", "auto.create.topics.enable=false",
	}})
	return v
}

func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// certificate writes a file with a key and a certificate that it signed itself.
func certificate(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return write(t, dir, "broker.pem", append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...))
}

// residentMiB reads what the process has resident now, and the most it had since forgetPeak.
func (v *victim) residentMiB() (now, peak int) {
	v.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.p.Pid()))
	if err != nil {
		v.t.Fatal(err)
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(b), name+":")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			v.t.Fatal(err)
		}
		return n >> 10
	}
	return field("VmRSS"), field("VmHWM")
}

// forgetPeak makes the kernel count the peak anew.
func (v *victim) forgetPeak() {
	v.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", v.p.Pid()), []byte("5"), 0); err != nil {
		v.t.Fatal(err)
	}
}

// footprint counts what must not leak.
func (v *victim) footprint() (files, goroutines int) {
	v.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", v.p.Pid()))
	if err != nil {
		v.t.Fatal(err)
	}
	return len(entries), v.metric("go_goroutines")
}

// metric reads a metric without labels.
func (v *victim) metric(name string) int {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.p.Admin+"/metrics", nil)
	if err != nil {
		v.t.Fatal(err)
	}
	req.Close = true // a connection that is kept is an open file
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				v.t.Fatal(err)
			}
			return int(f)
		}
	}
	v.t.Fatalf("no metric %s", name)
	return 0
}

// awaitQuiet waits until open files and goroutines are near what they were.
func (v *victim) awaitQuiet(files, goroutines int) (nowFiles, nowGoroutines int) {
	v.t.Helper()
	const slackFiles, slackGoroutines = 20, 60 // the broker's own work comes and goes: uploads, the bucket, honest clients that come anew
	deadline := time.Now().Add(2 * time.Minute)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		nowFiles, nowGoroutines = v.footprint()
		if nowFiles <= files+slackFiles && nowGoroutines <= goroutines+slackGoroutines {
			return nowFiles, nowGoroutines
		}
		if time.Now().After(deadline) {
			v.t.Errorf("leaked: %d open files and %d goroutines, before the attack %d and %d", nowFiles, nowGoroutines, files, goroutines)
			return nowFiles, nowGoroutines
		}
		<-poll.C
	}
}
