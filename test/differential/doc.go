// Package differential says random requests, right ones and wrong ones, to Sluice and to a real Apache Kafka 4.3, and compares what comes
// back: every API that both offer, in every version, and versions and keys that neither does.
//
// A sequence is a list of steps that a seed draws: requests as trees of values (draw.go, domains.go), encoded by the schema (encode.go), so
// that what no client would write can be written too: null where none may be, fields that nobody knows, bodies cut short. What a
// broker makes up stands in a request by name (see [twin.Names]) and becomes what that broker called it. Both brokers get the
// same steps, one after the other; answers are compared line by line.
//
// A sequence that shows a difference is run again without one step after the other, and without one field after the other, until
// nothing can be left out (compare.go). What is left is printed as lines of JSON; REPLAY=file runs them.
//
// Differences that are meant stand in differences.txt with their reason (differences.go says what an entry holds), as narrow as can be said: by API, path and
// versions, by what each broker answers, and by what the request says. A run tells how often each occurred.
//
// Invariants:
//
//  1. A seed and a number of requests give the same steps, whatever the brokers answer.
//  2. A sequence sees only what it made: names carry a prefix, and what has another prefix is left out of answers.
//  3. After a step that changes metadata, the next one starts when both brokers have applied it.
//
// `make differential SEED=1 REQUESTS=2000 KEYS=Fetch,Produce` runs it. The short form, TestSomeRequests, is part of `make test`: a few hundred requests of one seed,
// one sequence after the other. Whoever adds an API or changes what is drawn changes those requests too.
package differential
