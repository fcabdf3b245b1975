// Package fetch answers Fetch requests: it keeps fetch sessions (KIP-227), reads the partitions a request names within its byte limits,
// and parks requests that would return too little until enough has been written or their time is up.
//
// A fetch goes in rounds:
//
//	resolve    the session gives the list of partitions, in turn order
//	read       every partition is read from memory, in that order, within the limits
//	cold       those whose bytes are not in memory are read by cold workers; then the fetch is answered
//	park       if that gave too few bytes and no error, the fetch registers at its partitions and its goroutine ends;
//	           HW passing at any of them counts the bytes down, and the last one starts the next round
//	hold       if it gave too few bytes, and all that is wrong is that partitions are about to be served, here or by another node, the
//	           fetch waits for that, once and briefly, so that the answer has the data or the new leader is known
//
// Invariants:
//
//  1. Every fetch is answered exactly once, and every chunk it read is released exactly once: by the holder of the answer, or here
//     where a round is thrown away [I9].
//  2. Limits (rule 30): the first batch of the first partition that has any is returned whole, whatever the limits; everything behind
//     it stops at the limits. Partitions take turns being the first.
//  3. Every partition of a request is in the answer, except within a session those with nothing new.
//  4. A parked fetch holds no goroutine and no record memory, and is woken by whatever makes it answerable; nothing polls.
//  5. Reads from memory never wait for reads from the bucket: those run on workers of their own, with a bound of their own.
//  6. The memory of sessions is bounded by the number of sessions and of partitions in them; a client that gets no session is told
//     so (session id 0) and sends full requests.
//  7. A node without contact to the cluster hands nothing out: that is asked when the answer is put together.
//
// Goroutines: Fetch runs on the caller's until it parks or is cold. A woken fetch, a cold one and a held one run on a goroutine of their own
// that ends with the round.
package fetch
