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
//  4. Memory for requests is charged against RequestMemory before more of a frame is read than the read buffer holds, and grows as bytes arrive.
//     It has parts that do not wait for each other: Produce and others, so that heartbeats and fetches get through while producers wait for room; small
//     frames and large ones; and clients that have not logged in.
//  5. Nobody holds others up by announcing much and sending little: a frame is charged when it, or as much of it as the read buffer holds, is here;
//     frames of one address have half of a part while they are being received; and who sends slowly while others wait is cut off.
//  6. Answers in memory of their own that clients have not read take at most half of RequestMemory, and those of one address half of that, plus one for each
//     processor: requests whose answers are usually large wait before they are processed, and who does not read while others wait is cut off. [TestUnreadAnswers]
//  7. A malformed frame closes its connection and no other.
//
// Non-obvious:
//
//   - Frames used to be charged by what they announced, as soon as that was read, out of two parts. Two hundred connections that announced a login of
//     512 KiB, before they had shown who they were, held up everybody on all listeners for half a minute, and again (test/hostile).
//   - A frame that is no Produce is bounded by what is set aside for such, not by the largest request: it is decoded into many times its size.
//   - What hostile clients are cut off for is logged ten times a minute for each address and reason, or they would fill disks.
//
// Goroutines: the accept loop runs on the goroutine that called Serve. Each connection owns a reader goroutine, which ends when
// the connection is closed and its last request is finished, and a writer goroutine, which ends when no response is ready.
// Shutdown waits for all of them.
package kafka
