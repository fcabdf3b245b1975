// Cases about records: producing, codecs, headers, keys, transactions, times, sizes.
import kafkajs from 'kafkajs'
import { filled, kafka, producer, read, send, topic, values, Member, admin } from './kafkajs.mjs'
import { add, check, lacks, murmur2, name, numbers, refused, sleep, until } from './runner.mjs'

for (const [word, acks] of [['none', 0], ['leader', 1], ['all', -1]])
  add(`produce/acks-${word}`, async () => {
    const t = await topic(`acks${acks}`)
    const said = await send(t, numbers(0, 300), { acks })
    if (acks !== 0) check(said[0].baseOffset, '0', 'first offset')
    check(values(await read(t, 300)), numbers(0, 300))
  })

for (const [what, key, value] of [['null-key', null, 'v'], ['null-value', 'k', null], ['empty-key-and-value', '', '']])
  add(`produce/${what}`, async () => {
    const t = await topic(what)
    await send(t, [{ key, value, partition: 0 }])
    const [r] = await read(t, 1)
    check([r.key, r.value], [key, value])
  })

add('produce/batch', async () => {
  const t = await topic('batch')
  await send(t, numbers(0, 5000))
  const got = await read(t, 5000)
  check(values(got), numbers(0, 5000))
  check(got.map(r => r.offset), numbers(0, 5000), 'offsets')
})

add('produce/one-by-one', async () => {
  const t = await topic('onebyone')
  for (let i = 0; i < 20; i++) check((await send(t, [`${i}`]))[0].baseOffset, `${i}`, 'offset')
})

add('produce/many-partitions', async () => {
  const t = await topic('manyparts', 6)
  await send(t, numbers(0, 600).map(value => ({ value, partition: value % 6 })))
  const got = await read(t, 600)
  for (let p = 0; p < 6; p++) check(values(got.filter(r => r.partition === p)), numbers(0, 600).filter(v => v % 6 === p))
})

add('produce/two-topics-at-once', async () => {
  const topics = [await topic('batch-a'), await topic('batch-b')]
  const p = await producer()
  await p.sendBatch({ topicMessages: topics.map(t => ({ topic: t, messages: [{ value: t, partition: 0 }] })) })
  await p.disconnect()
  for (const t of topics) check(values(await read(t, 1)), [t])
})

const words = Array.from({ length: 300 }, (_, i) => `word ${i} `.repeat(10))
for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'])
  add(`compression/${codec}`, async () => {
    const compression = { gzip: kafkajs.CompressionTypes.GZIP, snappy: kafkajs.CompressionTypes.Snappy }[codec] ?? lacks(codec)
    const t = await topic(`codec-${codec}`)
    await send(t, words, { compression })
    check(values(await read(t, 300)), words)
  })

add('compression/mixed-in-one-log', async () => {
  const t = await topic('codecs'), all = [kafkajs.CompressionTypes.None, kafkajs.CompressionTypes.GZIP, kafkajs.CompressionTypes.Snappy]
  for (const compression of all) await send(t, words, { compression })
  check(values(await read(t, 900)), [...words, ...words, ...words])
})

add('compression/topic-codec', async () => {
  const t = await topic('topiccodec', 1, { 'compression.type': 'gzip' })
  await send(t, words)
  check(values(await read(t, 300)), words)
})

for (const [what, headers] of [['round-trip', { a: '1', b: '2' }], ['empty-value', { e: '' }], ['duplicates-keep-order', { d: ['2', '1'] }],
  ['unicode-key', { 'schlüssel→': 'v' }], ['none', {}], ['large', { big: 'x'.repeat(50000) }]])
  add(`headers/${what}`, async () => {
    const t = await topic(`headers-${what}`)
    await send(t, [{ value: 'v', headers, partition: 0 }])
    const got = (await read(t, 1))[0].headers
    check(Object.fromEntries(Object.entries(got).map(([k, v]) => [k, Array.isArray(v) ? v.map(String) : v.toString()])), headers, 'headers')
  })

add('keys-partitioning/murmur2', async () => {
  const t = await topic('murmur', 7)
  const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`.repeat(i % 5 + 1))
  await send(t, keys.map(key => ({ key, value: 'v' })))
  for (const r of await read(t, 200)) check(r.partition, murmur2(r.key) % 7, `partition of ${r.key}`)
})

add('keys-partitioning/explicit-partition', async () => {
  const t = await topic('explicit', 3)
  await send(t, numbers(0, 10).map(value => ({ key: 'k', value, partition: 2 })))
  check([...new Set((await read(t, 10)).map(r => r.partition))], [2], 'partitions')
})

add('keys-partitioning/order-within-key', async () => {
  const t = await topic('keyorder', 3)
  await send(t, numbers(0, 500).map(value => ({ key: `k${value % 10}`, value })))
  const got = await read(t, 500)
  for (let k = 0; k < 10; k++) check(values(got.filter(r => r.key === `k${k}`)), numbers(0, 500).filter(v => v % 10 === k))
})

add('idempotence/order', async () => {
  const t = await topic('idem')
  const p = await producer({ idempotent: true, maxInFlightRequests: 1 })
  for (let i = 0; i < 20; i++) await p.send({ topic: t, messages: numbers(i * 50, i * 50 + 50).map(value => ({ value, partition: 0 })) })
  await p.disconnect()
  check(values(await read(t, 1000)), numbers(0, 1000))
})

const transactional = id => producer({ transactionalId: name(id), idempotent: true, maxInFlightRequests: 1 })
const inside = (tx, t, list) => tx.send({ topic: t, messages: list.map(value => ({ value, partition: 0 })) })

add('transactions/commit', async () => {
  const t = await topic('txcommit'), p = await transactional('tx-commit'), tx = await p.transaction()
  await inside(tx, t, numbers(0, 100))
  await tx.commit()
  await p.disconnect()
  check(values(await read(t, 100, { readUncommitted: false })), numbers(0, 100))
})

add('transactions/abort', async () => {
  const t = await topic('txabort'), p = await transactional('tx-abort'), tx = await p.transaction()
  await inside(tx, t, numbers(0, 100))
  await tx.abort()
  await p.disconnect()
  await send(t, ['after'])
  check(values(await read(t, 1, { readUncommitted: false })), ['after'])
})

add('transactions/read-uncommitted-sees-aborted', async () => {
  const t = await topic('txuncommitted'), p = await transactional('tx-uncommitted'), tx = await p.transaction()
  await inside(tx, t, ['a', 'b'])
  await tx.abort()
  await p.disconnect()
  check(values(await read(t, 2, { readUncommitted: true })), ['a', 'b'])
})

add('transactions/several-in-a-row', async () => {
  const t = await topic('txrow'), p = await transactional('tx-row')
  for (let i = 0; i < 6; i++) {
    const tx = await p.transaction()
    await inside(tx, t, [`${i}`])
    await (i % 3 === 2 ? tx.abort() : tx.commit())
  }
  await p.disconnect()
  check(values(await read(t, 4, { readUncommitted: false })), ['0', '1', '3', '4'])
})

add('transactions/fencing', async () => {
  const t = await topic('txfence'), old = await transactional('tx-fence'), first = await old.transaction()
  await inside(first, t, ['old'])
  const young = await transactional('tx-fence'), second = await young.transaction()
  await inside(second, t, ['new'])
  await second.commit()
  let fenced = null
  try { await first.commit() } catch (e) { fenced = e.type }
  check(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED'].includes(fenced), true, `${fenced} is an error of fencing, it`)
  check(values(await read(t, 1, { readUncommitted: false })), ['new'])
})

add('transactions/send-offsets', async () => {
  const source = await filled('txsource'), sink = await topic('txsink'), group = name('tx-group')
  for (const end of ['abort', 'commit']) {
    const p = await transactional('tx-offsets'), tx = await p.transaction()
    await inside(tx, sink, numbers(0, 10))
    await tx.sendOffsets({ consumerGroupId: group, topics: [{ topic: source, partitions: [{ partition: 0, offset: '10' }] }] })
    await tx[end]()
    await p.disconnect()
    await until(async () => (await admin.fetchOffsets({ groupId: group, topics: [source] }))[0].partitions[0].offset === (end === 'commit' ? '10' : '-1'),
      `the offset after ${end}`, 20_000)
  }
  check(values(await read(sink, 10, { readUncommitted: false })), numbers(0, 10))
})

add('timestamps/create-time', async () => {
  const t = await topic('createtime')
  await send(t, [{ value: 'v', partition: 0, timestamp: '1700000000007' }])
  check((await read(t, 1))[0].timestamp, '1700000000007', 'timestamp')
})

add('timestamps/log-append-time', async () => {
  const t = await topic('appendtime', 1, { 'message.timestamp.type': 'LogAppendTime' })
  await send(t, [{ value: 'v', partition: 0, timestamp: '1700000000007' }])
  const stamp = Number((await read(t, 1))[0].timestamp)
  check(Math.abs(Date.now() - stamp) < 60_000, true, `${stamp} is now, it`)
})

add('large-messages/one-of-900kB', async () => {
  const t = await topic('large')
  await send(t, ['x'.repeat(900_000)])
  check((await read(t, 1))[0].value.length, 900_000, 'length')
})

add('large-messages/one-of-4MB', async () => {
  const t = await topic('larger', 1, { 'max.message.bytes': 5_000_000 })
  await send(t, ['y'.repeat(4_000_000)])
  check((await read(t, 1))[0].value.length, 4_000_000, 'length')
})

add('large-messages/larger-than-the-fetch', async () => {
  const t = await topic('largefetch'), want = ['a', 'b', 'c'].map(c => c.repeat(300_000))
  for (const v of want) await send(t, [v])
  check(values(await read(t, 3, { maxBytesPerPartition: 1000, maxBytes: 1000 })), want)
})

add('errors/record-too-large', async () => {
  const t = await topic('toolarge', 1, { 'max.message.bytes': 2000 })
  await refused('MESSAGE_TOO_LARGE', () => send(t, ['z'.repeat(5000)]))
  check((await send(t, ['z']))[0].baseOffset, '0', 'offset of the next record')
})
