// Package gcstest runs a server of Google Cloud Storage's JSON API for tests: fake-gcs-server, in the version that test/gcsserver/go.mod pins, with
// its objects in memory. It checks preconditions and checksums, and no credentials.
//
// Invariants: a server listens on a free loopback port only; see package process. The package starts no goroutine of its own.
package gcstest
