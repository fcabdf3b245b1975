// Package lint checks, as ordinary tests, what a reviewer should not have to: the direction of imports (layers.txt), that every
// package is documented, that state machines are pure, that functions and files do not grow, that files are formatted, that the
// broker builds for wasip1, and that every dependency has a reason (dependencies.txt).
//
// The package starts no goroutine.
package lint
