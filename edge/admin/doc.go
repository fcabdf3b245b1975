// Package admin is the broker's HTTP server for operators and their tools: /metrics (Prometheus), /healthz (the process lives),
// /readyz (the broker serves clients) and /debug/pprof.
//
// Invariants:
//
//  1. /readyz answers 200 only while the broker serves Kafka clients, 503 with the reason otherwise.
//  2. /healthz answers 200 unless the broker has failed for good and should be replaced.
//
// Goroutines: those of net/http; Close ends them.
package admin
