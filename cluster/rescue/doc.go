// Package rescue brings back what fenced brokers left in their write-ahead logs. Every node runs a [Worker]: it follows the image,
// and when the controller has granted it the rescue of a fenced node epoch it seals that epoch's WAL, uploads and commits what is not
// committed yet, and says that it is done, which closes the streams so that others may open them. DESIGN.md says why it is so.
//
//	pending --GrantRescue--> granted --seal, read, upload, commit, CompleteRescue--> done --remove the WAL, ForgetRescue--> gone
//
// Invariants:
//
//  1. Everything a job needs comes from one image that shows its grant (WAL, trim, number of the last upload), so from at or after the
//     fence; never from this node's own configuration, nor from an earlier attempt. A job that ended anywhere, in any process, is
//     repeated from the image.
//  2. Nothing is committed before the WAL is sealed, nothing is completed before everything below the seal is committed, nothing is removed
//     before the image says done, nothing is forgotten before it is removed.
//  3. Every command carries the victim's epoch and the grant. A newer grant voids it in the metadata; here it only ends the job sooner.
//  4. One job at a time for one victim; at most Options.Parallel of each kind. Jobs that wait for their next try hold no place.
//  5. A commit whose answer speaks of another piece (one of an attempt given up, that took effect late) ends the attempt.
//  6. A local WAL is rescued by the node id that wrote it, which asks for the grant by itself; nobody else touches it.
//  7. A damaged WAL is an error for a person: it is reported, retried slowly, and never skipped.
//  8. Memory of the jobs is bounded, see package stream; with no rescue open the worker does nothing.
//
// Goroutines: the loop (owns the machine) and one per running job. Close ends them; a job that hangs in a system call is left behind.
package rescue
