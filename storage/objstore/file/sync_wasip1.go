package file

// syncDir does nothing: WASI has no call that syncs a directory. This build is for the simulation only, whose bucket is not a
// directory.
func syncDir(string) error { return nil }
