//go:build !linux

package file

import "os"

func openDirect(string, int) (*os.File, bool, error) { return nil, false, nil }

func refusesDirect(error) bool { return false }

func allocate(*os.File, int64) {}
