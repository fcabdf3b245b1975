package partition

import (
	"errors"

	"sluice/base"
	"sluice/broker/topicconfig"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

// codecOf is the codec a topic asks for; ok is false if it keeps the producer's.
func codecOf(cfg *topicconfig.Config) (c batch.Codec, level int, ok bool) {
	switch cfg.CompressionType {
	case "uncompressed":
		return batch.None, 0, true
	case "gzip":
		return batch.Gzip, int(cfg.GzipLevel), true
	case "snappy":
		return batch.Snappy, 0, true
	case "lz4":
		return batch.LZ4, int(cfg.LZ4Level), true
	case "zstd":
		return batch.Zstd, int(cfg.ZstdLevel), true
	}
	return 0, 0, false
}

// recompress returns the batch in the topic's codec: b itself if it has that codec, else a new batch with the same records, deltas,
// producer and sequences.
func (p *Partition) recompress(b batch.Batch, cfg *topicconfig.Config) (batch.Batch, *kerr.Error) {
	codec, level, ok := codecOf(cfg)
	if !ok || codec == b.Codec() {
		return b, nil
	}
	lim := batch.Shared
	lim.Result = int(cfg.MaxMessageBytes)
	nb, err := batch.Recompress(b, codec, level, lim)
	if errors.Is(err, batch.ErrTooLarge) {
		return b, kerr.Errorf(kerr.MessageTooLarge, "%v, max.message.bytes is %d", err, cfg.MaxMessageBytes)
	}
	if err != nil {
		return b, refusedBytes(err)
	}
	p.opt.Metrics.recompressed.Inc()
	return nb, checkSize(nb, cfg)
}

// refusedBytes is the answer to a batch that is not what it should be.
func refusedBytes(err error) *kerr.Error {
	code := kerr.CorruptMessage
	if base.IsKind(err, base.Invalid) {
		code = kerr.InvalidRecord
	}
	return &kerr.Error{Code: code, Message: err.Error()}
}
