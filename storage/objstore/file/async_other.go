//go:build !(linux && (amd64 || arm64))

package file

import "os"

func directReadAt(f *os.File, b []byte, off int64) (int, error) { return f.ReadAt(b, off) }

func directWriteAt(f *os.File, b []byte, off int64) (int, error) { return f.WriteAt(b, off) }
