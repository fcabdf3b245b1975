package compat

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/broker"
	"sluice/test/process"
	"sluice/test/s3test"
)

// realFileMin is how large the real input has to be, in bytes.
const realFileMin = 100 << 20

// TestRealFile: the disassembly of the Go compiler, line by line, goes in with kcat (librdkafka) and comes out byte for byte with
// franz-go, after the broker was killed and started again; where the WAL is in the bucket, with an empty data directory.
func TestRealFile(t *testing.T) {
	input, lines := disassembly(t)
	t.Run("file", func(t *testing.T) {
		b := broker.Start(t, broker.Options{})
		produceFile(t, b.Addr, input)
		b.Kill()
		b.Launch()
		b.AwaitReady(2 * time.Minute)
		compareFile(t, b.Addr, input, lines)
	})
	t.Run("s3", func(t *testing.T) {
		opt := broker.Options{Bucket: s3test.Start(t), WAL: "s3"}
		b := broker.Start(t, opt)
		produceFile(t, b.Addr, input)
		b.Kill()
		opt.Dir = t.TempDir()
		fresh := broker.Start(t, opt)
		compareFile(t, fresh.Addr, input, lines)
	})
}

// disassembly makes the input with a real program that every Go installation has.
func disassembly(t *testing.T) (path string, lines int) {
	t.Helper()
	path = filepath.Join(broker.Root(), ".cache", "input", "compile-objdump-"+runtime.Version())
	unlock, err := process.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := os.Stat(path); err != nil {
		out, err := os.Create(path + ".tmp")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		tools, err := exec.Command("go", "env", "GOTOOLDIR").Output()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "tool", "objdump", filepath.Join(string(bytes.TrimSpace(tools)), "compile"))
		// kcat sends no record for an empty line and cuts none in two: empty lines are left out.
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriterSize(out, 1<<20)
		for s := bufio.NewScanner(pipe); s.Scan(); {
			if len(s.Bytes()) > 0 {
				w.Write(append(s.Bytes(), '\n')) // a write error is sticky and shows at Flush
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var size int64
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		size += int64(n)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if size < realFileMin {
		t.Fatalf("the input has %d bytes, want at least %d", size, realFileMin)
	}
	return path, lines
}

func produceFile(t *testing.T, addr, path string) {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ctx, cancel := context.WithTimeout(context.Background(), clientMax)
	defer cancel()
	// An idempotent producer of librdkafka has one request in flight for a partition: large ones make up for the latency of the s3 WAL.
	cmd := exec.CommandContext(ctx, "kcat", "-b", addr, "-P", "-t", "real", "-p", "0", "-z", "lz4", "-X", "enable.idempotence=true", "-X", "linger.ms=20",
		"-X", "batch.num.messages=30000", "-X", "batch.size=3000000", "-X", "message.max.bytes=3000000")
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kcat: %v\n%s", err, out)
	}
}

func compareFile(t *testing.T, addr, path string, lines int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"real": {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), clientMax)
	defer cancel()
	got := sha256.New()
	w := bufio.NewWriterSize(got, 1<<20)
	for n := 0; n < lines; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d lines: %v", n, lines, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != int64(n) {
				t.Fatalf("line %d came at offset %d", n, r.Offset)
			}
			w.Write(r.Value)
			w.WriteByte('\n')
			n++
		})
	}
	w.Flush()
	want := sha256.New()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(want, f); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Fatal("what came out is not what went in")
	}
}
