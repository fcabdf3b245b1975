package share

import (
	"context"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
)

// What nodes say to each other about dead letters: a batch for a partition of a topic for dead letters, and back what became of it. Both begin with
// questionVersion.

// EncodeLetters asks the leader of a partition to append a batch of dead letters.
func EncodeLetters(topic base.UUID, index int32, records []byte) []byte {
	b := kbin.AppendUUID(kbin.AppendInt8(make([]byte, 0, 32+len(records)), questionVersion), topic)
	return append(kbin.AppendInt32(b, index), records...)
}

// DecodeVerdict reads the answer to it: nil, or a *kerr.Error.
func DecodeVerdict(answer []byte) error {
	r := kbin.NewReader(answer)
	version, code, text := r.Int8(), kerr.Code(r.Int16()), r.String(true)
	switch {
	case r.Err() != nil || version != questionVersion:
		return kerr.Errorf(kerr.RequestTimedOut, "the answer about dead letters is not understood")
	case code != kerr.None:
		return &kerr.Error{Code: code, Message: text}
	}
	return nil
}

// ServeLetters answers the question of [EncodeLetters], when the batch is durable or refused.
func (m *Manager) ServeLetters(ctx context.Context, question []byte) ([]byte, error) {
	r := kbin.NewReader(question)
	version, topic, index := r.Int8(), r.UUID(), r.Int32()
	if r.Err() != nil || version != questionVersion {
		return nil, base.Errorf(base.Invalid, "not a batch of dead letters")
	}
	err := m.appendLetters(ctx, topic, index, r.Rest())
	b := kbin.AppendInt16(kbin.AppendInt8(nil, questionVersion), int16(kerr.CodeOf(err)))
	text := ""
	if err != nil {
		text = asKerr(err).Message
	}
	return kbin.AppendString(b, true, text), nil
}

func (m *Manager) appendLetters(ctx context.Context, topic base.UUID, index int32, records []byte) error {
	p, err := m.opt.Directory.Get(topic, index)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	p.Append(partition.AppendRequest{Batch: records}, func(r partition.AppendResult) { done <- r.Err })
	select {
	case err = <-done:
		return err
	case <-ctx.Done():
		return kerr.Errorf(kerr.RequestTimedOut, "it is not known whether the dead letters are durable")
	}
}
