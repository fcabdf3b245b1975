//go:build !seededbugs

package seeded

// Built says whether mistakes were built in.
const Built = false

// Bug reports whether the mistake is on. It never is in a build without the tag.
func Bug(Name) bool { return false }
