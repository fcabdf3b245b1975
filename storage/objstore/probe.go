package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// ErrNoCondition is the cause of the error of Probe about a store that does not do IfAbsent. Such a store can hold data: see ProbeData.
var ErrNoCondition = errors.New("no put-if-absent (If-None-Match: *)")

// Probe writes, reads, lists and deletes objects below the prefix "probe/". It returns an Invalid error that says what is missing
// when the store does not do what [Store] promises, above all when it ignores IfAbsent: such a store must hold no log. Any
// other error is the store's own and says nothing about it.
func Probe(ctx context.Context, s Store) error {
	_, err := probe(ctx, s, true)
	return err
}

// ProbeData is Probe for a store that holds data only, no metadata log and no WAL. The one that it returns is s if it does IfAbsent,
// else one that puts without that condition. That is sound for objects whose keys are never used by two writers, which is so for all but slots.
func ProbeData(ctx context.Context, s Store) (Store, error) {
	honours, err := probe(ctx, s, false)
	if err == nil && !honours {
		s = unconditional{s}
	}
	return s, err
}

// unconditional leaves out the condition of puts.
type unconditional struct{ Store }

// Put implements Store.
func (u unconditional) Put(ctx context.Context, key string, body [][]byte, opt PutOptions) error {
	opt.IfAbsent = false
	return u.Store.Put(ctx, key, body, opt)
}

// probePrefix is followed by 32 hexadecimal digits, a slash and one of a, b, c.
const probePrefix = "probe/"

// IsProbeKey reports whether a probe may have put key. A probe that did not live to the end, or whose put came late, leaves it behind.
func IsProbeKey(key string) bool {
	rest, ok := strings.CutPrefix(key, probePrefix)
	return ok && len(rest) == 34 && strings.Trim(rest[:32], "0123456789abcdef") == "" && rest[32] == '/' && rest[33] >= 'a' && rest[33] <= 'c'
}

func probe(ctx context.Context, s Store, strict bool) (honours bool, err error) {
	ctx = driver.WithPurpose(ctx, driver.PurposeProbe)
	p := prober{Store: s, dir: probePrefix + base.NewUUID().Hex() + "/"}
	honours, err = p.run(ctx, strict)
	if cleanup := p.remove(ctx); err == nil {
		err = cleanup
	}
	if err != nil {
		return false, fmt.Errorf("probe of the bucket %s: %w", s, err)
	}
	return honours, nil
}

type prober struct {
	driver.Store
	dir string
}

func (p prober) run(ctx context.Context, strict bool) (honours bool, err error) {
	first, second := []byte("first put"), []byte("second put")
	switch err := p.conditional(ctx, first, second); {
	case err == nil:
		honours = true
		if err := p.read(ctx, "a", first); err != nil {
			return false, err
		}
	case strict || !errors.Is(err, ErrNoCondition):
		return false, err
	}
	for range 2 {
		if err := p.Put(ctx, p.dir+"b", [][]byte{second}, driver.PutOptions{}); err != nil {
			return false, err
		}
	}
	if err := p.read(ctx, "b", second); err != nil {
		return false, err
	}
	if err := p.Put(ctx, p.dir+"c", nil, driver.PutOptions{}); err != nil {
		return false, err
	}
	if !honours { // "a" may be there or not
		if err := p.Delete(ctx, p.dir+"a"); err != nil {
			return false, fmt.Errorf("delete: %w", err)
		}
		return false, p.listed(ctx, p.dir+"b", p.dir+"c")
	}
	return true, p.listed(ctx, p.dir+"a", p.dir+"b", p.dir+"c")
}

// conditional puts twice on condition that there is nothing: the second put must fail. The error is ErrNoCondition when the store ignores the
// condition, or refuses puts because of it.
func (p prober) conditional(ctx context.Context, first, second []byte) error {
	ifAbsent := driver.PutOptions{IfAbsent: true}
	err := p.Put(ctx, p.dir+"a", [][]byte{first[:5], first[5:]}, ifAbsent)
	if base.IsKind(err, base.Invalid) && p.Put(ctx, p.dir+"a", [][]byte{first}, driver.PutOptions{}) == nil {
		return base.Errorf(base.Invalid, "the store refuses puts with a condition, on which all safety of a log rests: %w: %w", ErrNoCondition, err)
	}
	if err != nil {
		return err
	}
	switch err := p.Put(ctx, p.dir+"a", [][]byte{second}, ifAbsent); {
	case err == nil:
		return base.Errorf(base.Invalid, "the store ignores the condition of a put, on which all safety of a log rests: %w", ErrNoCondition)
	case base.KindOf(err) != base.Exists:
		return fmt.Errorf("conditional put: %w", err)
	}
	return nil
}

func (p prober) read(ctx context.Context, name string, want []byte) error {
	whole, err := p.Get(ctx, p.dir+name, 0, -1, nil)
	if err != nil {
		return err
	}
	part, err := p.Get(ctx, p.dir+name, 2, 3, nil)
	if err != nil {
		return fmt.Errorf("read of a range: %w", err)
	}
	if !bytes.Equal(whole, want) || !bytes.Equal(part, want[2:5]) {
		return base.Errorf(base.Invalid, "the store returns %q, and %q for bytes [2, 5), of an object put as %q", whole, part, want)
	}
	return nil
}

func (p prober) listed(ctx context.Context, want ...string) error {
	for info, err := range p.List(ctx, p.dir, "") {
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if len(want) == 0 || info.Key != want[0] {
			return base.Errorf(base.Invalid, "the store lists %s where %q was put", info.Key, want)
		}
		want = want[1:]
	}
	if len(want) > 0 {
		return base.Errorf(base.Invalid, "the store does not list %q, which was put", want)
	}
	return nil
}

// removeTries is how often the probe deletes what it has put. A put whose answer was lost may happen after the delete, once, and is no fault of the
// store's; a store that keeps what is deleted keeps it each time.
const removeTries = 3

// remove deletes what the probe has put and checks that it is gone.
func (p prober) remove(ctx context.Context) (err error) {
	for range removeTries {
		if err := p.Delete(ctx, p.dir+"a", p.dir+"b", p.dir+"c"); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		if err = p.gone(ctx); !base.IsKind(err, base.Invalid) {
			break
		}
	}
	return err
}

func (p prober) gone(ctx context.Context) error {
	if _, err := p.Stat(ctx, p.dir+"a"); err == nil {
		return base.Errorf(base.Invalid, "the store keeps an object that was deleted")
	} else if base.KindOf(err) != base.NotFound {
		return err
	}
	return p.listed(ctx)
}
