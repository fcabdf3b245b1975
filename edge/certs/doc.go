// Package certs keeps the TLS configuration of listeners: private key, certificates and trusted authorities from PEM files, which are
// read again when they change, so that a certificate is renewed by replacing its files.
//
// Invariants:
//
//  1. A handshake uses one set of files as a whole: the newest that could be read. Files that cannot be used, half written ones for
//     instance, are logged once and leave the former set in use.
//  2. Files are looked at in handshakes only, at most once a second.
//  3. New connections alone see new files: what runs goes on with what it began with.
//
// The package starts no goroutine.
package certs
