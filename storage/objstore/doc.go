// Package objstore is the bucket: the one durable thing Sluice needs. It opens stores by URL and probes them.
//
// The interface lives in package driver and is used under the names of this package. Stores: file (a directory), mem (this
// process), s3, gs, az, and etcd for the metadata log. Stores around stores: retry (repeats what may be repeated), ledger (counts what is asked for, by purpose, and what it costs) and fault (for tests). Package
// conform is the suite every store passes.
//
// Invariants: see package driver. The package starts no goroutine.
package objstore
