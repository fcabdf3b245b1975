// Package group is the coordinator of consumer groups and of committed offsets: Kafka's protocols (JoinGroup, SyncGroup, Heartbeat,
// LeaveGroup; ConsumerGroupHeartbeat and ConsumerGroupDescribe; StreamsGroupHeartbeat and StreamsGroupDescribe; OffsetCommit, OffsetFetch, OffsetDelete; Describe, List, DeleteGroups;
// FindCoordinator) as a pure machine per partition of __consumer_offsets, run by package coord.
//
// A group is a classic one, or one of the consumer protocol (KIP-848; consumer.go says how that lives), and may change from one to the
// other while it has members (consumer_migrate.go). A classic group lives through rounds, called generations:
//
//	Empty ── first join, wait a moment for more ──▶ PreparingRebalance ── all joined, or time is up ──▶ CompletingRebalance
//	  ▲                                                   ▲   ▲                                               │
//	  └── nobody joined ── PreparingRebalance             │   └── join, leave, expiry, nobody syncs ──────────┤ leader's assignment
//	                                                      └────────── join, leave, expiry ──── Stable ◀───────┘ is durable
//	Empty ── deleted by an administrator, or by expiry of its last offset ──▶ Dead, until the tombstones are durable
//
// Invariants:
//
//  1. Committed offsets, and the generation, members and assignments of a stable or empty group, change only by replay of durable
//     records of __consumer_offsets. Who is joining, sessions and deadlines live in memory; a coordinator that takes over starts all
//     sessions anew.
//  2. A group becomes Stable when the record that holds the assignment of its current generation is replayed; no SyncGroup is
//     answered with an assignment before.
//  3. A generation number grows with every completed join round and is never reused by a coordinator that has made it durable.
//  4. Every member's parked JoinGroup and SyncGroup is answered exactly once; a second one of the same member answers the first
//     with REBALANCE_IN_PROGRESS.
//  5. A static member's instance id belongs to exactly one member id; requests under another one get FENCED_INSTANCE_ID.
//  6. An OffsetCommit, and a LeaveGroup that empties the group, are answered after their records are durable and replayed. An
//     OffsetFetch that requires stable offsets waits for commits to the group that were under way when it came.
//  7. A group is deleted only when it is Empty and no commit to it is under way; between that decision and the replay of the
//     tombstones it is Dead and every request to it is refused with a retriable error.
//  8. Offsets that are committed in a transaction are pending from the replay of their records to that of the transaction's marker, through any number of
//     loads, and never expire meanwhile; the marker makes them the group's or drops them. Of two commits of one partition the one further
//     on in the log counts, for that is the one that a compaction of the log keeps.
//  9. The machine's state after a run equals that of a machine that loads the run's log, volatile state aside.
//
// That no partition has two owners in a group of the consumer protocol holds for members that stop working when they have not been answered for the
// rebalance timeout, or have not told in that time that they gave up what was taken away: the coordinator waits for so long and no longer, whether the
// member has heard of it or not, as in Kafka. What others commit is fenced by the member's epoch. [TestConsumerGroups]
//
// Timers: session (heartbeat) per member, id reservation per pending member, join phase and sync phase per group, expiry of offsets
// per partition. All are deadlines inside the machine; see coord.Deadlines.
//
// Records have Kafka's formats (OffsetCommitKey/Value, GroupMetadataKey/Value, the ConsumerGroup types), so Kafka's tools can read the
// topic. Record types of other protocols are skipped on replay.
//
// What is not obvious about groups of the consumer protocol:
//
//   - Classic members join for a new target, not for a new epoch of the group: until the assignment interval has passed there would be nothing to join for.
//   - A new group is at epoch 1, so its first member that subscribes to something makes it 2, as in Kafka 4.3.
//   - A member that is known may join again under epoch 0: it says that it owns nothing. It need not wait for its session to end.
//   - Expressions match internal topics, too: leaving them out is a matter of classic clients.
//   - An expression is matched by heartbeats of members that subscribe to it, against what the client of that heartbeat may describe by the ACLs of that moment. The
//     log keeps one result for each expression, as in Kafka, so of members with the same expression and different rights one decides for all. In Kafka that may be any
//     member of the group. A reason to match anew is that topics which match have come or gone, or that the last time is long ago (see change.resolve), never
//     that another member asks: two members would take topics from one another for ever.
//   - The heartbeat that brings an expression is answered before that is matched, and the next one, of whoever has the expression, matches it: Kafka does so in the
//     background, and its tests go by it. The epoch rises when it is matched, not when it is brought.
//   - Whoever is alone in a group does not wait for the assignment interval; otherwise a consumer that is started again would
//     stand still until its second heartbeat.
//
// Streams groups (KIP-1071) are the third protocol of a group, see streamsGroup; package task computes who gets which tasks. What is not obvious about them:
//
//   - Processes own tasks, not members: two members of one process would use the same state on disk.
//   - A member that has to give up tasks stays at its epoch plus, from the second time on, one: as in Kafka 4.3 the epoch says that it went on.
//   - Whoever serves a heartbeat creates the internal topics that are missing; the machine only names them.
//   - Clients keep only the last entry of an endpoint, so members of one process are told as one.
//
// Share groups (KIP-932) are a kind of their own beside these, see shareGroup; what their members have read is kept by package share. They, too, wait for an
// assignment interval unless somebody is alone.
//
// A target from the future keeps nobody waiting for the interval: the clock was set back, or the group came from a node whose clock is ahead.
//
// Goroutines: none of its own but one per creation of the internal topic and those of coord.
package group
