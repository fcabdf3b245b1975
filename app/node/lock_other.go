//go:build !unix

package node

// lockFile does nothing where files cannot be locked.
func lockFile(string, string) (release func(), err error) { return func() {}, nil }
