package cli

import (
	"context"
	"iter"
	"log/slog"
	"os"
	"sync"
	"time"

	"sluice/app/node"
	"sluice/base"
	"sluice/base/config"
	"sluice/storage/objstore"
	"sluice/storage/objstore/retry"
)

// placeFlags say where the bucket is, for commands that look into it without a broker. They are settings of the broker; environment and
// configuration file count as for sluice start.
type placeFlags struct {
	Bucket     string        `placeholder:"URL" help:"The bucket, as sluice start has it. Default: SLUICE_BUCKET, or the directory bucket in the data directory."`
	Meta       string        `placeholder:"URL" help:"Where the metadata log is, if not in the bucket. Default: SLUICE_META."`
	Data       string        `placeholder:"DIR" help:"The data directory. Default: SLUICE_DATA, or data."`
	ConfigFile string        `name:"config" type:"path" placeholder:"FILE" env:"SLUICE_CONFIG" help:"Configuration file of the broker."`
	Timeout    time.Duration `default:"1m" help:"Give up when the store has not answered for so long (default: 1m)."`
}

// stores are what the flags name, opened for reading. Requests are repeated within the timeout.
type stores struct {
	bucket, meta objstore.Store // the same one where the metadata log is in the bucket
	log          *slog.Logger
}

func (f *placeFlags) open(ctx context.Context, p *Process) (*stores, error) {
	cfg, err := f.resolve(p)
	if err != nil {
		return nil, err
	}
	bucket, _, meta, err := node.Places(cfg)
	if err != nil {
		return nil, err
	}
	s := &stores{log: slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if s.bucket, err = f.store(ctx, p, bucket, s.log); err != nil {
		return nil, err
	}
	s.meta = s.bucket
	if meta != "" {
		s.meta, err = f.store(ctx, p, meta, s.log)
	}
	return s, err
}

func (f *placeFlags) store(ctx context.Context, p *Process, url string, log *slog.Logger) (objstore.Store, error) {
	s, err := objstore.OpenReadOnly(ctx, url, objstore.Options{Getenv: p.Getenv})
	if err != nil {
		return nil, err
	}
	return retry.New(&patient{Store: s, limit: f.Timeout, since: time.Now()}, retry.Options{Logger: log}), nil
}

func (f *placeFlags) resolve(p *Process) (*config.Config, error) {
	var file, flags []config.Value
	if f.ConfigFile != "" {
		content, err := os.ReadFile(f.ConfigFile)
		if err != nil {
			return nil, base.Errorf(base.Invalid, "--config: %w", err)
		}
		if file, err = config.FromFile(f.ConfigFile, string(content)); err != nil {
			return nil, err
		}
	}
	for _, s := range []struct{ name, text string }{{"bucket", f.Bucket}, {"meta", f.Meta}, {"data", f.Data}} {
		if s.text != "" {
			flags = append(flags, config.Value{Name: s.name, Text: s.text, From: "flag --" + s.name})
		}
	}
	env, _ := config.FromEnv(p.Environ)
	return config.Resolve(file, env, flags)
}

// patient is a store whose requests fail for good when none has succeeded for so long. Package retry repeats them until then.
type patient struct {
	objstore.Store
	limit time.Duration
	mu    sync.Mutex
	since time.Time // of the last success
}

func (s *patient) judge(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !base.IsKind(err, base.Unavailable) {
		s.since = now
	} else if silent := now.Sub(s.since); silent > s.limit {
		return base.Errorf(base.Failed, "%s has not answered for %v: %w", s, silent.Round(time.Second), err)
	}
	return err
}

// Get implements driver.Store.
func (s *patient) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	b, err := s.Store.Get(ctx, key, off, n, dst)
	return b, s.judge(err)
}

// Stat implements driver.Store.
func (s *patient) Stat(ctx context.Context, key string) (objstore.Info, error) {
	info, err := s.Store.Stat(ctx, key)
	return info, s.judge(err)
}

// List implements driver.Store.
func (s *patient) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		for info, err := range s.Store.List(ctx, prefix, after) {
			if !yield(info, s.judge(err)) {
				return
			}
		}
	}
}
