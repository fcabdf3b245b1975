// What the cases of kafkajs have in common: clients, topics, records.
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import { bootstrap, name, numbers, until } from './runner.mjs'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = snappy

export const kafka = new Kafka({ clientId: 'compat', brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50, retries: 8 } })
export const admin = kafka.admin()
await admin.connect()

// topic makes a topic and returns its name.
export async function topic(what, numPartitions = 1, config = {}) {
  const t = name(what)
  await admin.createTopics({ waitForLeaders: false, topics: [{ topic: t, numPartitions, replicationFactor: 1,
    configEntries: Object.entries(config).map(([name, value]) => ({ name, value: `${value}` })) }] })
  await known(t, numPartitions)
  return t
}

// watcher looks at topics. Asking for one makes a client forget all others, and what it is doing with them fails.
export const watcher = kafka.admin()
await watcher.connect()

// known waits until the broker says who leads the partitions of a topic that the controller has made. The client's own waitForLeaders gives up when the
// broker has not heard of the topic yet.
export const known = (t, partitions) => until(async () => {
  try {
    const found = (await watcher.fetchTopicMetadata({ topics: [t] })).topics[0].partitions
    return found.length === partitions && found.every(p => p.leader >= 0)
  } catch (e) {
    if (['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE'].includes(e.type)) return false
    throw e
  }
}, `topic ${t}`)

export async function producer(options = {}) {
  const p = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner, ...options })
  await p.connect()
  return p
}

// send sends messages and returns what the broker said of each partition.
export async function send(t, messages, { acks = -1, compression, ...options } = {}) {
  const p = await producer(options)
  try {
    return await p.send({ topic: t, acks, compression, messages: messages.map(m => typeof m === 'string' ? { value: m, partition: 0 } : m) })
  } finally {
    await p.disconnect()
  }
}

// filled has ten records in each partition. Apache Kafka names the leader of a new partition a moment before it takes records for it; this client then sends
// those of all partitions again, so that only an idempotent producer writes each of them once.
export async function filled(what, partitions = 1, config = {}) {
  const t = await topic(what, partitions, config)
  await send(t, Array.from({ length: partitions }, (_, partition) => numbers(0, 10).map(value => ({ value, partition }))).flat(), { idempotent: true })
  return t
}

// Member is a consumer of a group that runs and keeps what comes.
export class Member {
  constructor(groupId, options = {}) {
    this.records = []
    this.assigned = []
    this.crash = null
    this.c = kafka.consumer({ groupId, sessionTimeout: 10000, heartbeatInterval: 200, rebalanceTimeout: 20000, maxWaitTimeInMs: 200,
      metadataMaxAge: 1000, ...options })
    this.c.on(this.c.events.GROUP_JOIN, e => { this.assigned = Object.entries(e.payload.memberAssignment).flatMap(([t, ps]) => ps.map(p => `${t}-${p}`)) })
    this.c.on(this.c.events.CRASH, e => { this.crash = e.payload.error })
  }

  async run(topics, { fromBeginning = true, ...run } = {}) {
    await this.c.connect()
    await this.c.subscribe({ topics, fromBeginning })
    await this.c.run({ autoCommit: false, ...run,
      eachMessage: async ({ topic, partition, message: m, ...more }) => {
        this.records.push({ topic, partition, offset: m.offset, key: m.key?.toString() ?? null, value: m.value?.toString() ?? null,
          headers: m.headers, timestamp: m.timestamp })
        await run.eachMessage?.({ topic, partition, message: m, ...more })
      } })
    return this
  }

  values(t) { return this.records.filter(r => !t || r.topic === t).map(r => r.value) }
  async leave() { await this.c.disconnect() }
}

// read reads records of a topic from its start, with a group of its own.
let readers = 0
export async function read(t, count, options = {}) {
  const m = await new Member(name(`reader-${readers++}`), options).run([t])
  try {
    const end = Date.now() + 40_000
    while (m.records.length < count) {
      if (Date.now() > end) throw new Error(`only ${m.records.length} of ${count} records came`)
      await new Promise(done => setTimeout(done, 20))
    }
    return m.records
  } finally {
    await m.leave()
  }
}

export const values = records => records.map(r => r.value)

// deleteRecords has a client of its own: a shared one loses its brokers from sight while it learns of another topic.
export async function deleteRecords(t, offset) {
  const own = kafka.admin()
  await own.connect()
  try {
    await own.fetchTopicOffsets(t) // it wants to have heard of the topic
    await own.deleteTopicRecords({ topic: t, partitions: [{ partition: 0, offset }] })
  } finally {
    await own.disconnect()
  }
}
