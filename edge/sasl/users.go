package sasl

import (
	"crypto/rand"
	"crypto/subtle"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"sluice/base"
	"sluice/broker/auth"
)

// Users are those of a file with lines NAME = PASSWORD; empty lines and lines that begin with # do not count. A nil *Users has none. It is
// safe for concurrent use.
type Users struct {
	name   string
	logger *slog.Logger

	mu struct {
		sync.Mutex
		passwords map[string]string
		derived   map[derivedKey]auth.Credential // as clients log in with SCRAM
		modified  time.Time
		size      int64
		failed    string // what was logged last
	}
}

type derivedKey struct {
	user string
	m    auth.Mechanism
}

// LoadUsers reads a file. The error has kind Invalid.
func LoadUsers(name string, logger *slog.Logger) (*Users, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	u := &Users{name: name, logger: logger}
	return u, u.readLocked()
}

// Check reports whether the user has that password.
func (u *Users) Check(user, password string) bool {
	want, ok := u.password(user)
	same := subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
	return ok && same
}

// Credential returns what SCRAM checks the user with. The first time it takes milliseconds.
func (u *Users) Credential(user string, m auth.Mechanism) (auth.Credential, bool) {
	password, ok := u.password(user)
	if !ok {
		return auth.Credential{}, false
	}
	u.mu.Lock()
	c, ok := u.mu.derived[derivedKey{user, m}]
	u.mu.Unlock()
	if ok {
		return c, true
	}
	salt := make([]byte, 20)
	rand.Read(salt)
	c, err := m.FromPassword(password, salt, auth.MinIterations)
	if err != nil {
		return c, false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.passwords[user] == password {
		u.mu.derived[derivedKey{user, m}] = c
	}
	return c, true
}

// password returns a user's, after a look at whether the file has changed: logging in is rare.
func (u *Users) password(user string) (string, bool) {
	if u == nil {
		return "", false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.readLocked(); err != nil && err.Error() != u.mu.failed {
		u.mu.failed = err.Error()
		u.logger.Warn("cannot read the users; those of before stay", "error", err)
	}
	p, ok := u.mu.passwords[user]
	return p, ok
}

// readLocked reads the file if it has changed.
func (u *Users) readLocked() error {
	info, err := os.Stat(u.name)
	if err != nil {
		return base.Errorf(base.Invalid, "setting sasl-users: %w", err)
	}
	if info.ModTime().Equal(u.mu.modified) && info.Size() == u.mu.size {
		return nil
	}
	b, err := os.ReadFile(u.name)
	if err != nil {
		return base.Errorf(base.Invalid, "setting sasl-users: %w", err)
	}
	passwords, err := parseUsers(u.name, string(b))
	if err != nil {
		return err
	}
	u.mu.passwords, u.mu.derived = passwords, map[derivedKey]auth.Credential{}
	u.mu.modified, u.mu.size, u.mu.failed = info.ModTime(), info.Size(), ""
	return nil
}

func parseUsers(name, content string) (map[string]string, error) {
	users := map[string]string{}
	for i, line := range strings.Split(content, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		user, password, ok := strings.Cut(line, "=")
		user, password = strings.TrimSpace(user), strings.TrimSpace(password)
		if !ok || user == "" || password == "" {
			return nil, base.Errorf(base.Invalid, "%s:%d: no user; want NAME = PASSWORD", name, i+1)
		}
		if _, twice := users[user]; twice {
			return nil, base.Errorf(base.Invalid, "%s:%d: the user stands there twice", name, i+1)
		}
		users[user] = password
	}
	return users, nil
}
