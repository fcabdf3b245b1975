// Package seeded plants known mistakes in the production code, to see that the tests find them (test/bugs).
//
// A place asks [Bug] and, when the answer is yes, does the wrong thing, in one readable line:
//
//	if seeded.Bug(seeded.SkipSync) {
//		return nil
//	}
//
// Invariants:
//
//  1. Without the build tag seededbugs Bug is the constant false: the compiler drops the place, and a released binary holds neither the
//     mistakes nor their names.
//  2. With the tag at most one mistake is on in a process: the one that the environment names (SLUICE_SEEDED_BUG), or that a test has chosen.
//     None is on unless somebody asks for it. A name that is not in the registry ends the process.
//  3. Each mistake is in the registry ([All]) with what it breaks and where, and has exactly one place in the code, or a few that are one
//     mistake only together.
//
// The package starts no goroutine.
package seeded
