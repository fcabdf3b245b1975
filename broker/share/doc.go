// Package share serves share groups (KIP-932): the members of a group read a partition together, record by record, and acknowledge each
// record on its own.
//
// A share partition is a partition as one share group sees it. It lives on the partition's leader and is a window of the log:
//
//	… done │ start ─ acquired ─ available ─ acknowledged ─ archived ─ available ─ end │ not handed out yet …
//
// A fetch takes the first records that are available, or those behind the end, and locks them for its member: they are acquired. The member
// accepts them (acknowledged), rejects them (archived), releases them (available again), renews its lock, or lets it expire (available
// again). A record that was delivered as often as the group allows is archived in place of being made available. When the first record of
// the window is done the window begins behind it.
//
// What is durable of a share partition is kept by the share coordinator: a pure machine per partition of __share_group_state, run by package
// coord, on whichever node leads the partition that the share partition's name is mapped to. Records have Kafka's formats: a snapshot, and updates
// to it. The node that coordinates the group (package group) begins a share partition's state under a state epoch, and removes it.
//
//	member ── ShareFetch, ShareAcknowledge ──▶ Manager ─ session, part ─▶ window (pure)
//	                                                        │ one write at a time
//	                                                        ▼
//	                                    Client ── this node or another's ──▶ Coordinator ─▶ machine (pure) ─▶ __share_group_state
//
// Invariants:
//
//  1. A change of state takes effect, and an acknowledgement is answered, when the change is durable. Until then the record is neither handed
//     out nor open to another change. That a record is acquired is not durable, and neither is its count of deliveries until it comes
//     back: after a restart it is available as it was before.
//  2. The spans of a window are ascending and leave no gap between start and end. A record is in one state and, if acquired, of one member.
//  3. A request that acknowledges changes all that it names, or nothing.
//  4. A share partition has one write under way. Its durable start lies behind everything that is done with it. After a write that failed, which
//     may be durable or not, the next one holds the whole window, and an older write of the same incarnation that arrives late is
//     refused, so a record that was acknowledged is never made available again by it.
//  5. Writes carry the leader epoch of the partition and the state epoch of the group: a leader that was deposed, and one whose group was begun
//     anew, can not write. A read by a leader makes its epoch durable before it is answered.
//  6. Durable state of the coordinator changes by replay alone; commands of one share partition run one after the other.
//  7. Nothing is handed out that members are not to see: above the last stable offset and of aborted transactions where the group reads only
//     what is committed, control records, offsets that compaction has emptied. Those are archived without being delivered.
//  8. Every request is answered once. A fetch that finds nothing waits for its partitions' watermarks, locks and writes, and does not poll.
//  9. With a topic for dead letters, a record that was delivered and not accepted is archived only when its letter is durable, or can never be (the topic
//     is not allowed, or refuses it): that is counted and logged. Records are archiving durably before their letters are written, so whoever loads the
//     share partition goes on; a letter is written at least once. One run of letters of a share partition is under way at a time.
//  10. Bounds: records of a window (RecordLocks, exceeded by the rest of one batch), sessions, bytes of an answer, reads from the bucket.
//
// Non-obvious:
//   - The offset at which a group begins (latest, say) is made durable when the leader has chosen it, so that nothing is skipped if the leader
//     dies before the first acknowledgement.
//   - When a member's session ends, with its connection or by its own request, what it holds comes back at once. That delivery counts, as in Kafka 4.3: a
//     member that dies of a record over and over is to be rid of it.
//   - What was delivered often is handed out in ever smaller parts of what it was first handed out with, and alone the last time: one bad record would
//     have all that it is read with given up (haul).
//   - When the last session of a group on a node ends the node forgets the group's share partitions: offsets of a group without members can
//     be altered, and are to be read anew then.
//   - The topic is not compacted, for updates of one key add up. The coordinator deletes what lies below the oldest snapshot that counts, and
//     rewrites snapshots that hold it up.
//   - What is archiving in a share partition that no member reads waits for the next member: nobody else loads the share partition.
//   - A fetch that has looked and found nothing wakes only those who were turned away while it read. If it woke all who wait, two fetches would wake
//     each other, and one itself, for as long as they wait.
//   - An error that may pass holds records in the window, and so the group, for as long as it lasts; Kafka gives up after five tries and archives.
//
// Goroutines: those of coord; one for each write, load and burial of a share partition, one for each fetch, one for each deletion. Manager.Close and
// Coordinator.Close wait for them.
package share
