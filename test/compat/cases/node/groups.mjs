// Cases about consumers, all of them members of groups, as kafkajs knows no others.
import kafkajs from 'kafkajs'
import { Member, admin, deleteRecords, filled, kafka, read, send, topic, values } from './kafkajs.mjs'
import { add, check, lacks, name, numbers, refused, sleep, until } from './runner.mjs'

const some = (m, n) => until(() => m.records.length >= n, `${n} records`)
const share = (t, partitions, ...members) => until(() => {
  const all = members.map(m => m.assigned)
  return new Set(all.flat()).size === partitions && all.flat().length === partitions && Math.max(...all.map(a => a.length)) - Math.min(...all.map(a => a.length)) <= 1
}, `${members.length} members to share ${partitions} partitions`)

add('groups-classic/two-members-roundrobin', async () => {
  const t = await filled('two', 4), a = await new Member(name('g-two')).run([t])
  await share(t, 4, a)
  const b = await new Member(name('g-two')).run([t])
  await share(t, 4, a, b)
  await b.leave()
  await share(t, 4, a)
  await until(() => new Set([...a.records, ...b.records].map(r => `${r.partition} ${r.offset}`)).size === 40, 'all records')
  await a.leave()
})

add('groups-classic/three-members-two-partitions', async () => {
  const t = await filled('three', 2), members = []
  for (let i = 0; i < 3; i++) members.push(await new Member(name('g-three')).run([t]))
  await share(t, 2, ...members)
  for (const m of members) await m.leave()
})

add('groups-classic/commit-and-resume', async () => {
  const t = await filled('resume')
  for (const want of [numbers(0, 10), ['more']]) {
    const m = await new Member(name('g-resume')).run([t], { autoCommit: true, autoCommitThreshold: 1 })
    await some(m, want.length)
    check(m.values(), want)
    await sleep(300)
    await m.leave()
    await send(t, ['more'])
  }
})

add('groups-classic/group-is-described', async () => {
  const t = await filled('described'), m = await new Member(name('g-described')).run([t])
  await share(t, 1, m)
  const [g] = (await admin.describeGroups([name('g-described')])).groups
  check([g.state, g.protocol, g.protocolType, g.members.length, g.members[0].clientHost], ['Stable', 'RoundRobinAssigner', 'consumer', 1, '/127.0.0.1'])
  await m.leave()
})

add('consume/earliest', async () => check(values(await read(await filled('earliest'), 10)), numbers(0, 10)))

add('consume/latest', async () => {
  const t = await filled('latest'), m = await new Member(name('g-latest')).run([t], { fromBeginning: false })
  await until(async () => { await send(t, ['new']); return m.records.length > 0 }, 'a record')
  check([...new Set(m.values())], ['new'])
  await m.leave()
})

add('consume/from-offset', async () => {
  const t = await filled('fromoffset'), m = new Member(name('g-fromoffset'))
  await m.run([t]) // this client refuses to seek until it has begun to join, which run does not wait for
  await until(() => { try { m.c.seek({ topic: t, partition: 0, offset: '7' }); return true } catch { return false } }, 'being able to seek')
  await until(() => m.values().slice(-3).join() === '7,8,9', 'the records from there')
  await m.leave()
})

add('consume/seek-back', async () => {
  const t = await filled('seekback'), m = await new Member(name('g-seekback')).run([t])
  await some(m, 10)
  m.c.seek({ topic: t, partition: 0, offset: '4' })
  await some(m, 16)
  check(m.values(), [...numbers(0, 10), ...numbers(4, 10)])
  await m.leave()
})

add('consume/pause-and-resume', async () => {
  const t = await filled('pause'), other = await filled('pause-other'), m = new Member(name('g-pause'))
  await m.run([t, other])
  await some(m, 20)
  m.c.pause([{ topic: t }])
  await send(t, ['held'])
  await send(other, ['flows'])
  await until(() => m.values(other).includes('flows'), 'records of the other topic')
  await sleep(500)
  check(m.values(t).includes('held'), false, 'a record of the paused topic came, it')
  m.c.resume([{ topic: t }])
  await until(() => m.values(t).includes('held'), 'records of the topic')
  await m.leave()
})

add('consume/subscribe-two-topics', async () => {
  const a = await filled('sub-a'), b = await filled('sub-b'), m = await new Member(name('g-sub')).run([a, b])
  await some(m, 20)
  for (const t of [a, b]) check(m.values(t), numbers(0, 10))
  await m.leave()
})

add('consume/subscribe-pattern', async () => {
  await filled('pat-a'); await filled('pat-b'); await filled('other-pat')
  const m = await new Member(name('g-pattern')).run([new RegExp(`^${name('pat-.*')}`)])
  await some(m, 20)
  check([...new Set(m.records.map(r => r.topic))].sort(), [name('pat-a'), name('pat-b')], 'topics')
  await m.leave()
})

add('consume/small-fetches', async () => {
  const t = await topic('smallfetch')
  for (let i = 0; i < 500; i += 50) await send(t, numbers(i, i + 50))
  check(values(await read(t, 500, { maxBytesPerPartition: 300 })), numbers(0, 500))
})

add('consume/whole-batches', async () => {
  const t = await filled('batches'), c = kafka.consumer({ groupId: name('g-batches'), heartbeatInterval: 200, maxWaitTimeInMs: 200 }), seen = []
  await c.connect()
  await c.subscribe({ topics: [t], fromBeginning: true })
  await c.run({ eachBatch: async ({ batch }) => { seen.push(...batch.messages.map(m => `${m.value}`)); check(batch.highWatermark, '10', 'end') } })
  await until(() => seen.length >= 10, 'records')
  check(seen, numbers(0, 10))
  await c.disconnect()
})

add('consume/after-deleted-records', async () => {
  const t = await filled('trimmed')
  await deleteRecords(t, '6')
  check(values(await read(t, 4)), numbers(6, 10))
})

add('errors/offset-out-of-range-resets', async () => {
  const t = await filled('outofrange')
  await admin.setOffsets({ groupId: name('g-outofrange'), topic: t, partitions: [{ partition: 0, offset: '1000' }] })
  const m = await new Member(name('g-outofrange')).run([t])
  await some(m, 10)
  check(m.values(), numbers(0, 10))
  await m.leave()
})

const offsetOf = async (group, t, resolve) => (await admin.fetchOffsets({ groupId: name(group), topics: [t], resolveOffsets: resolve }))[0].partitions[0].offset

add('offsets/commit-chosen-offset', async () => {
  const t = await filled('chosen'), m = await new Member(name('g-chosen')).run([t])
  await some(m, 10)
  await m.c.commitOffsets([{ topic: t, partition: 0, offset: '3' }])
  await m.leave()
  check(await offsetOf('g-chosen', t), '3', 'offset')
  const again = await new Member(name('g-chosen')).run([t])
  await some(again, 7)
  check(again.values(), numbers(3, 10))
  await again.leave()
})

add('offsets/metadata', async () => {
  const t = await filled('meta'), m = await new Member(name('g-meta')).run([t])
  await some(m, 10)
  await m.c.commitOffsets([{ topic: t, partition: 0, offset: '5', metadata: 'what I thought' }])
  await m.leave()
  check((await admin.fetchOffsets({ groupId: name('g-meta'), topics: [t] }))[0].partitions[0].metadata, 'what I thought', 'metadata')
})

add('offsets/none-committed', async () => check(await offsetOf('g-none', await filled('nocommit')), '-1', 'offset'))

add('offsets/commit-on-close', async () => {
  const t = await filled('auto'), m = await new Member(name('g-auto')).run([t], { autoCommit: true })
  await some(m, 10)
  await m.leave()
  await until(async () => await offsetOf('g-auto', t) === '10', 'the offset', 15_000)
})

for (const what of ['two-members-uniform', 'two-members-range', 'commit-and-resume']) add(`groups-consumer/${what}`, async () => lacks('KIP-848'))
for (const what of ['keeps-its-partitions', 'same-instance-fences']) add(`static-membership/${what}`, async () => lacks('static members'))
