// Package file is a bucket in a directory, on a local disk or on a file system that several nodes share. An object is a file
// whose path is its key.
//
// Invariants:
//
//  1. A put writes a temporary file, syncs it, gives it its name by link(2) (IfAbsent) or rename(2), and syncs the directory
//     before it returns nil. So an object is whole or absent after a crash at any instant, and what was confirmed stays.
//     Directories it creates are synced into their parents first, the root included.
//  2. Temporary files live in DIR/.tmp, which no key can name, under names that no other put uses. Open removes those older than
//     an hour; a put that was that slow then fails without effect, because its temporary file is gone when it is to be named.
//  3. A link that reports an error may have been made (NFS repeats requests); whether the name is the temporary file decides.
//  4. List orders by key, not by directory: within a directory, a subdirectory counts as its name and a slash.
//  5. Directories are never removed, so no put races with a removal.
//
// A key that is a directory of another key cannot be stored (Invalid).
//
// The package has one goroutine for the process, while direct I/O is under way (async_linux.go).
package file
