// Package kafka is the broker's Kafka listener: connections, frames, and the order of responses. It knows the first eight bytes
// of a request and nothing else of the protocol; what a request means is the [Handler]'s affair.
//
// A connection has one reader, which reads a frame and hands it to the handler on its own goroutine, and at most one writer,
// which exists only while there are responses to write. The reader does not read while the connection has too much in flight
// or the process has no memory for requests: overload turns into TCP backpressure.
//
// Pipelining. Kafka's broker processes one request of a connection at a time, and clients may rely on that: a commit followed by
// a fetch of the offset sees the commit. Here it is the same, except that Produce requests follow each other without waiting:
// the next one is processed while the first waits for the WAL. So a Produce starts when everything before it that is not a
// Produce has been answered, and any other request when everything before it has been answered.
//
// Invariants:
//
//  1. Responses of a connection leave in the order of its requests.
//  2. Every request is finished exactly once, by Reply, NoReply or Abort; a second time panics. The Release of a reply is called
//     exactly once, also when the connection is gone.
//  3. A connection has at most MaxInFlight requests between handler and socket.
//  4. Memory for requests is charged against RequestMemory before a frame is read, and grows as bytes arrive. Produce has three
//     quarters of it, so that heartbeats and fetches get through while producers wait for room.
//  5. A malformed frame closes its connection and no other.
//
// Goroutines: the accept loop runs on the goroutine that called Serve. Each connection owns a reader goroutine, which ends when
// the connection is closed and its last request is finished, and a writer goroutine, which ends when no response is ready.
// Shutdown waits for all of them.
package kafka
