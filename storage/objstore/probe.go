package objstore

import (
	"bytes"
	"context"
	"fmt"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Probe writes, reads, lists and deletes objects below the prefix "probe/". It returns an Invalid error that says what is missing
// when the store does not do what [Store] promises, above all when it ignores IfAbsent: such a store must not be used. Any
// other error is the store's own and says nothing about it.
func Probe(ctx context.Context, s Store) error {
	ctx = driver.WithPurpose(ctx, driver.PurposeProbe)
	p := prober{Store: s, dir: "probe/" + base.NewUUID().Hex() + "/"}
	err := p.run(ctx)
	if cleanup := s.Delete(ctx, p.dir+"a", p.dir+"b"); err == nil && cleanup != nil {
		err = fmt.Errorf("delete: %w", cleanup)
	}
	if err == nil {
		err = p.gone(ctx)
	}
	if err != nil {
		return fmt.Errorf("probe of the bucket %s: %w", s, err)
	}
	return nil
}

type prober struct {
	driver.Store
	dir string
}

func (p prober) run(ctx context.Context) error {
	first, second := []byte("first put"), []byte("second put")
	ifAbsent := driver.PutOptions{IfAbsent: true}
	if err := p.Put(ctx, p.dir+"a", [][]byte{first[:5], first[5:]}, ifAbsent); err != nil {
		return err
	}
	switch err := p.Put(ctx, p.dir+"a", [][]byte{second}, ifAbsent); {
	case err == nil:
		return base.Errorf(base.Invalid, "the store ignores the condition of a put (If-None-Match: *), on which all safety rests; use a store that honours it")
	case base.KindOf(err) != base.Exists:
		return fmt.Errorf("conditional put: %w", err)
	}
	if err := p.read(ctx, "a", first); err != nil {
		return err
	}
	for range 2 {
		if err := p.Put(ctx, p.dir+"b", [][]byte{second}, driver.PutOptions{}); err != nil {
			return err
		}
	}
	if err := p.read(ctx, "b", second); err != nil {
		return err
	}
	return p.listed(ctx, p.dir+"a", p.dir+"b")
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

func (p prober) gone(ctx context.Context) error {
	if _, err := p.Stat(ctx, p.dir+"a"); err == nil {
		return base.Errorf(base.Invalid, "the store keeps an object that was deleted")
	} else if base.KindOf(err) != base.NotFound {
		return err
	}
	return p.listed(ctx)
}
