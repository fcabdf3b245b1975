// Package simnet is a network in memory, for simulations: hosts, connections that take time, and what goes wrong with them.
//
// A connection behaves as one of TCP does. Bytes come in order or not at all; what is lost on the way is sent again and comes later; a
// path that is cut holds back what was written until it is whole again, and neither side is told; a host that goes down resets
// its connections, or falls silent. Connections know nothing of each other, so that bytes of one overtake those of another.
//
// Invariants:
//
//  1. What Read returns is a prefix of what the other side has written.
//  2. Nothing is read earlier than its delay after it was written, nor while the path from writer to reader is cut.
//  3. A host that went down reads and writes nothing any more, whoever still holds its connections. When it comes up it has a new life:
//     what belonged to the old one stays dead.
//  4. All chances are drawn from one source, which belongs to the network: with the same seed, and the same program on it, the same happens.
//  5. Who watches (Watch) is told of every piece once right before its first byte is read and once right after the last, and what is done to the network in between is in time.
//
// Locks: Network.mu, for everything. No call is made with it held.
package simnet
