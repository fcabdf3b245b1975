package file

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"sluice/base"
	"sluice/storage/wal/block"
)

// The token of a node epoch is one file: in its first half the writer's own mark, put there when the directory is made; in its second half
// nothing, until a rescuer writes its mark there. The name exists from the beginning, because a fresh open of an existing file is
// what NFS promises to check with the server; that a name does not exist may come from a cache. Any byte in the second half,
// even of a torn mark, and a token that is gone, mean fenced. Marks are never taken back.
const (
	tokenName  = "token"
	lockName   = "lock"
	sealName   = "sealed"
	tokenSlot  = 512
	tokenBytes = 8 + 2 + 16 + 8 + 8 + 16 + 4
	sealBytes  = 8 + 2 + 8 + whoBytes + 4
)

// newToken returns the content of a token that nobody has marked. nonce tells two makers of the same directory apart.
func newToken(cluster base.UUID, v block.Victim, nonce base.UUID) []byte {
	content := make([]byte, 2*tokenSlot)
	copy(content, record(magicToken).uuid(cluster).u64(uint64(v.Node)).u64(uint64(v.Epoch)).uuid(nonce).end())
	return content
}

// mark puts a rescuer's mark on the token.
func (c Config) mark(dir, who string) error {
	content := make([]byte, tokenSlot)
	copy(content, record(magicMark).text(who).end())
	return classify(c.FS.Overwrite(c.in(dir, tokenName), tokenSlot, content))
}

// confirm reads the token by a fresh open. Fenced: it bears a mark, is gone, or is another writer's. Failed: it cannot be read,
// so nothing may be acknowledged.
func (c Config) confirm(dir string, own []byte) error {
	b, err := c.FS.ReadFile(c.in(dir, tokenName))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESTALE):
		return base.Errorf(base.Fenced, "%s: the token is gone, so the WAL was rescued and removed: %w", c.in(dir), err)
	case err != nil:
		return base.Errorf(base.Failed, "read token: %w", err)
	case len(b) != 2*tokenSlot:
		return base.Errorf(base.Fenced, "%s: the token has %d bytes", c.in(dir), len(b))
	case string(b[:tokenSlot]) != string(own[:tokenSlot]):
		return base.Errorf(base.Fenced, "%s: the token is another writer's", c.in(dir))
	}
	for _, x := range b[tokenSlot:] {
		if x != 0 {
			r := open(b[tokenSlot:], magicMark, 8+2+whoBytes+4)
			return base.Errorf(base.Fenced, "%s: sealed by %q", c.in(dir), r.text())
		}
	}
	return nil
}

// readSeal returns the recorded end of the log. fs.ErrNotExist when it is not sealed.
func (c Config) readSeal(dir string) (base.WALPos, error) {
	b, err := c.FS.ReadFile(c.in(dir, sealName))
	if err != nil {
		return 0, err
	}
	r := open(b, magicSeal, sealBytes)
	end := base.WALPos(r.u64())
	if r.err != nil {
		return 0, fmt.Errorf("%s: %w", c.in(dir, sealName), r.err)
	}
	return end, nil
}

func sealRecord(end base.WALPos, who string) []byte {
	return record(magicSeal).u64(uint64(end)).text(who).end()
}
