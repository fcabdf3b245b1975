//go:build !unix

package batch

func arenaOf(n int) []byte { return make([]byte, n) }

func freeArena([]byte) {}
