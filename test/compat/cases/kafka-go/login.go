package main

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"suite"
)

func mechanism(s suite.Secure) (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Mechanism{Username: s.User, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.User, s.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.User, s.Password)
	}
	return nil, suite.ErrLacks
}

func (c *client) Login(ctx context.Context, s suite.Secure, topic, value string) (string, error) {
	tls, err := s.TLS()
	if err != nil {
		return "", err
	}
	login, err := mechanism(s)
	if err != nil {
		return "", err
	}
	w := &kafka.Writer{Addr: kafka.TCP(s.Addr), Topic: topic, MaxAttempts: 1, BatchTimeout: time.Millisecond, RequiredAcks: kafka.RequireAll,
		Transport: &kafka.Transport{TLS: tls, SASL: login, DialTimeout: 10 * time.Second}}
	defer w.Close()
	if err := w.WriteMessages(ctx, kafka.Message{Value: []byte(value)}); err != nil {
		return "", err
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{s.Addr}, Topic: topic,
		Dialer: &kafka.Dialer{TLS: tls, SASLMechanism: login, Timeout: 10 * time.Second}})
	defer r.Close()
	m, err := r.ReadMessage(ctx)
	return string(m.Value), err
}
