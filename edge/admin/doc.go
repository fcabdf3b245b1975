// Package admin is the broker's HTTP server for operators and their tools: /metrics (Prometheus), /healthz (the process lives),
// /readyz (the broker serves clients), /debug/pprof, and below /v1/ the cluster as JSON: what it looks like (view.go) and what
// can be done to it (api.go).
//
//	GET  /v1/cluster               nodes, controller, rescues, objects, what moves and what nobody serves: [ClusterView]
//	GET  /v1/partitions            topic=NAME moving=true unavailable=true limit=N: [PartitionsAnswer]
//	POST /v1/nodes/{id}/drain      [DrainRequest], answers a [NodeView]
//	POST /v1/partitions/move       [MoveRequest], answers a [MoveAnswer]
//	POST /v1/controller/transfer   [TransferRequest], answers a [ControllerView]
//
// Every broker answers for the whole cluster. An answer other than 200 has an [ErrorAnswer].
//
// Invariants:
//
//  1. /readyz answers 200 only while the broker serves Kafka clients, 503 with the reason otherwise.
//  2. /healthz answers 200 unless the broker has failed for good and should be replaced.
//  3. An answer below /v1/ shows one image; what was changed is in it.
//  4. A page of another site in a browser changes nothing: a POST must be JSON and of the same origin. Anybody else who reaches the port
//     may do everything, so it listens on the loopback interface unless told otherwise.
//  5. Every partition that no node serves has a reason, and it says what it waits for.
//
// Goroutines: those of net/http; Close ends them.
package admin
