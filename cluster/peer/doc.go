// Package peer carries calls between the members of a cluster: a question of some bytes to an address, an answer of some bytes back.
// It knows nothing of what they mean. See DESIGN.md for why it is so.
//
// A client has one TCP connection to each address it calls, made at the first call and closed after a minute without one. Calls of all
// goroutines share it and are answered in any order, so a long poll holds up nobody. Each side proves to the other that it knows the
// cluster's secret before anything else is said; after that the bytes are neither encrypted nor signed, only checksummed, unless the listener and
// Dial are given as TLS.
//
// Invariants:
//
//  1. A call that fails with the kind Unavailable of this package was not and will not be executed: its frame was withdrawn before the
//     writer took it, or the server refused it before its handler ran. One that was taken and not answered is Undetermined, always.
//  2. A call is executed at most once. It is tried again, once, only when the connection had ended before it was taken.
//  3. Call returns when its context ends, whatever the network, the peer or other calls do: no caller ever waits in a read, a write or a
//     dial of its own.
//  4. Nothing of a handler runs for a connection that has not proved the secret, and no call is written to a server that has not.
//     A proof is good for one connection and one role.
//  5. The context of a handler ends when nobody can receive its answer any more.
//  6. A connection on which nothing was heard and not much written for the silence limit, or nothing could be written for the stall limit,
//     ends. Clients ping, so an idle connection in order is never silent.
//  7. Bounded are: bodies, by what both sides say in their hellos; calls and queued bytes per connection, beyond which calls are shed;
//     connections and handshakes per server; the time of a handshake; the attempts on an address that does not answer; the memory
//     that a header alone can cause to be allocated.
//
// Goroutines: a server owns its accept loop and for each connection a reader, a writer, and one goroutine for each running handler. A
// client owns a reader and a writer for each connection, and for the time of an attempt to connect one that dials. Close of either
// ends them and waits for them.
package peer
