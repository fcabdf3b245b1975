package peer

import (
	"context"
	"testing"
)

// BenchmarkCall is one call of 100 bytes after the other, over loopback.
func BenchmarkCall(b *testing.B) {
	_, addr := serve(b, ServerOptions{})
	c := client(b, ClientOptions{})
	body := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Call(context.Background(), addr, echo, body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCallParallel is the same with 64 callers for each processor, over one connection.
func BenchmarkCallParallel(b *testing.B) {
	_, addr := serve(b, ServerOptions{})
	c := client(b, ClientOptions{})
	body := make([]byte, 100)
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Call(context.Background(), addr, echo, body); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkLargeCall is an answer and a question of a megabyte each.
func BenchmarkLargeCall(b *testing.B) {
	_, addr := serve(b, ServerOptions{})
	c := client(b, ClientOptions{})
	body := make([]byte, 1<<20)
	b.SetBytes(2 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Call(context.Background(), addr, echo, body); err != nil {
			b.Fatal(err)
		}
	}
}
