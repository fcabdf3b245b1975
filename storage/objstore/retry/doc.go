// Package retry is a store around a store that repeats what may be repeated, and counts every request.
//
// Invariants:
//
//  1. Repeated are errors of kind Unavailable, and Undetermined of a put without IfAbsent; nothing else. A put with IfAbsent whose
//     fate is unknown goes back to the caller, who alone can tell its own bytes from others'.
//  2. A call ends when its context does, with the last error of the store. There is no other bound: an outage is waited out, and
//     whoever has a deadline says so by the context.
//  3. The pauses grow exponentially and are jittered over their whole length, so that callers do not come back in step.
//  4. While everything fails, for a second or longer, one caller at a time, the scout, comes back within half a second, and the first success
//     ends everybody's pause. So an outage is over for all within a second of its end. While some requests succeed (throttling) nobody's pause is cut short. [TestRecoveryIsPrompt, TestThrottlingKeepsPauses]
//  5. A listing that breaks off goes on after the last key it yielded, so every object is yielded once, in order.
//
// The package starts no goroutine.
package retry
