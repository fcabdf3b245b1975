// Package txn is the transaction coordinator: Kafka's protocol (InitProducerId with a transactional id, AddPartitionsToTxn,
// AddOffsetsToTxn, EndTxn, Describe, ListTransactions) as a pure machine per partition of __transaction_state, run by package coord, and
// the client by which partition leaders and group coordinators ask the coordinators, wherever those are.
//
// A transactional id goes through these states, each of which is a record:
//
//	Empty ── partition added ──▶ Ongoing ── commit ──▶ PrepareCommit ── all markers written ──▶ CompleteCommit
//	  ▲                           ▲    └── abort, timeout, fenced ──▶ PrepareAbort ── markers ──▶ CompleteAbort
//	  └── InitProducerId ─────────┴──────────────── partition added ◀────────────────────────────────┘
//
// The verdict is the record of PrepareCommit or PrepareAbort: before it is durable nothing of the transaction is visible and it may yet
// be aborted, after it the transaction can only end that way, whatever dies. The client is answered when the verdict is durable.
// The coordinator then tells the verdict to the leader of every partition of the transaction, which writes it into its log as a control
// record (a marker), and when all have, it writes that the transaction is complete. Whoever takes the coordinator's partition over finds
// the verdict in the log and tells it once more; a marker that is written twice changes nothing, for the second finds no open transaction.
//
// Who may speak for a transactional id is decided by (producer id, epoch). InitProducerId raises the epoch, so an older producer of the
// same id is refused by the coordinator (PRODUCER_FENCED) and by partition leaders, who fence what is below the epoch of a marker. In
// transactions of version 2 (KIP-890) every EndTxn raises the epoch: the marker carries the raised one, so nothing that belongs to the
// transaction before, however late it comes, can reach into the next one. The highest epoch is never given to a client; where it would be
// reached the next transaction gets another producer id.
//
// Invariants:
//
//  1. The durable state of a transactional id changes by replay alone. At most one append of it is under way; requests that would make
//     another one meanwhile get CONCURRENT_TRANSACTIONS, but for additions of partitions: those wait for it, two seconds at most (add.go).
//  2. A transaction ends one way: from PrepareCommit only CompleteCommit follows, from PrepareAbort only CompleteAbort, and all
//     markers of it carry the same verdict, producer id, epoch and coordinator epoch as far as one coordinator is concerned.
//  3. Markers are sent only after the verdict is durable, and the transaction is complete only after every partition's leader has
//     said that the marker is durable there, or the partition does not exist any more.
//  4. (producer id, epoch) of a transactional id never goes back: the epoch of one producer id never falls, and a producer id that was left
//     is never used again.
//  5. Markers carry the leader epoch of the partition of __transaction_state as the coordinator's epoch; leaders refuse older ones, so
//     what a deposed coordinator still sends has no effect once its successor has reached that leader.
//  6. An Ongoing transaction is aborted when its timeout is over, counted from its first partition, by whichever coordinator is there then.
//  7. The machine's state after a run equals that of a machine that loads the run's log, volatile state aside.
//
// Non-obvious:
//
//   - A partition that the image does not have is dropped from a transaction that ends. That is safe because the image of a coordinator is at least as new
//     as the record that made it one, and its predecessor looked the partition up before that.
//   - INVALID_PRODUCER_EPOCH in answer to a marker counts as written: a leader hears of a higher epoch only after the transaction was complete, or
//     from an administrator who ended it by hand.
//   - To one node one request with markers of a partition is under way at a time, across machines that succeed each other in one process. Under version
//     0 of the protocol the epoch stays, and a marker of the transaction before would end the next one if it came late. Requests for other partitions go
//     beside it, so a partition that is slow holds up what was sent in the request with it and nothing else; at 16 such requests the node is waited for.
//   - The record of PrepareCommit already has the raised epoch (Kafka's too): from its replay on the old one is refused, and the new one told to wait.
//   - A request that may need another producer id and has none is answered so, and made once more with one: the machine does not wait.
//   - A transaction without partitions is prepared and complete in one batch. So is one complete and the next one begun, if somebody waits to begin it.
//   - A client that is told CONCURRENT_TRANSACTIONS backs off: franz-go for up to five seconds, until it may ask for metadata again. With a WAL that takes 50 ms, that
//     was the time of every transaction. So nobody is told who can wait instead.
//
// Where it differs from Kafka 4.3, beside what broker/coord does: InitProducerId by a producer whose epoch is over does not abort the transaction of the one
// that took its place, it is refused at once. A commit that lost the race against an abort by timeout is PRODUCER_FENCED under version 2, too, as from
// Kafka 4.4 on (KAFKA-20785), not INVALID_TXN_STATE. A transaction that times out at the last epoch goes on under another producer id
// (KAFKA-20090). A transaction of so many partitions that its record would not fit is refused as INVALID_REQUEST. Timeouts are exact, so there
// is no setting of how often they are looked for.
//
// Goroutines: those of coord; up to 16 for each node that has markers to get, while it has; one for each parcel that waits to be tried again; one for each
// search of a producer id; and in the client, up to 64 for each node that is asked, while it is.
package txn
