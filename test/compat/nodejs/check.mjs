// Checks of a Kafka broker with kafkajs. Usage: node check.mjs HOST:PORT
// Prints one line a check, `ok NAME` or `not ok NAME: why`; exits with 1 if any failed.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import kafkajs from 'kafkajs'

const { Kafka, CompressionTypes, logLevel } = kafkajs
const kafka = new Kafka({ clientId: 'compat', brokers: [process.argv[2]], logLevel: logLevel.ERROR, retry: { retries: 8 } })
const run = randomUUID().slice(0, 8)
const admin = kafka.admin()

async function topic(name, numPartitions = 1, configEntries = []) {
  const full = `js-${name}-${run}`
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: full, numPartitions, configEntries }] })
  return full
}

async function produce(topic, messages, options = {}, send = {}) {
  const producer = kafka.producer(options)
  await producer.connect()
  try {
    for (let i = 0; i < messages.length; i += 500) {
      await producer.send({ topic, messages: messages.slice(i, i + 500), acks: -1, ...send })
    }
  } finally {
    await producer.disconnect()
  }
}

async function consume(topic, count, groupId = `js-${randomUUID()}`) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10000, heartbeatInterval: 500 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const got = []
  try {
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`only ${got.length} of ${count} messages came`)), 60000)
      consumer.on(consumer.events.CRASH, (e) => reject(e.payload.error))
      consumer.run({
        eachMessage: async ({ partition, message }) => {
          got.push({ partition, ...message })
          if (got.length === count) {
            clearTimeout(timer)
            resolve()
          }
        },
      }).catch(reject)
    })
  } finally {
    await consumer.disconnect() // commits what was resolved
  }
  return got
}

const checks = {
  async codecs() {
    for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
      const name = await topic(`codec-${compression}`)
      const sent = Array.from({ length: 1000 }, (_, i) => ({ key: `k${i}`, value: `value ${i} `.repeat(20), headers: { h: `${i}` }, partition: 0 }))
      await produce(name, sent, {}, { compression })
      const got = await consume(name, sent.length)
      got.forEach((m, i) => {
        assert.equal(m.value.toString(), sent[i].value)
        assert.equal(m.key.toString(), sent[i].key)
        assert.equal(m.headers.h.toString(), sent[i].headers.h)
        assert.equal(m.offset, String(i))
      })
    }
  },

  async idempotent() {
    const name = await topic('idempotent', 3)
    const sent = Array.from({ length: 3000 }, (_, i) => ({ value: `${i}`, partition: i % 3 }))
    await produce(name, sent, { idempotent: true, maxInFlightRequests: 1 })
    const got = await consume(name, sent.length)
    for (let p = 0; p < 3; p++) {
      assert.deepEqual(got.filter((m) => m.partition === p).map((m) => Number(m.value)), sent.map((_, i) => i).filter((i) => i % 3 === p))
    }
  },

  async 'group resumes'() {
    const name = await topic('resume')
    await produce(name, Array.from({ length: 100 }, (_, i) => ({ value: `${i}` })))
    await consume(name, 100, `resume-${run}`)
    await produce(name, Array.from({ length: 50 }, (_, i) => ({ value: `${100 + i}` })))
    const got = await consume(name, 50, `resume-${run}`)
    assert.deepEqual(got.map((m) => Number(m.value)), Array.from({ length: 50 }, (_, i) => 100 + i))
    const offsets = await admin.fetchOffsets({ groupId: `resume-${run}`, topics: [name] })
    assert.equal(offsets[0].partitions[0].offset, '150')
  },

  async 'admin'() {
    const name = await topic('admin', 2, [{ name: 'retention.ms', value: '123456' }])
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name, configNames: ['retention.ms'] }] })
    assert.equal(resources[0].configEntries[0].configValue, '123456')
    await admin.createPartitions({ topicPartitions: [{ topic: name, count: 4 }] })
    const meta = await admin.fetchTopicMetadata({ topics: [name] })
    assert.equal(meta.topics[0].partitions.length, 4)
    await produce(name, [{ value: 'x', partition: 0 }, { value: 'y', partition: 0 }])
    assert.equal((await admin.fetchTopicOffsets(name)).find((o) => o.partition === 0).high, '2')
    await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '1' }] })
    assert.equal((await admin.fetchTopicOffsets(name)).find((o) => o.partition === 0).low, '1')
    const groups = await admin.listGroups()
    assert.ok(groups.groups.some((g) => g.groupId === `resume-${run}`))
    const described = await admin.describeGroups([`resume-${run}`])
    assert.equal(described.groups[0].state, 'Empty')
    await admin.deleteGroups([`resume-${run}`])
    await admin.deleteTopics({ topics: [name] })
    assert.ok(!(await admin.listTopics()).includes(name))
    assert.ok((await admin.describeCluster()).brokers.length >= 1)
  },
}

let failed = 0
await admin.connect()
for (const [name, check] of Object.entries(checks)) {
  try {
    await check()
    console.log(`ok ${name}`)
  } catch (e) {
    failed++
    console.log(`not ok ${name}: ${e.message}`)
    console.error(e)
  }
}
await admin.disconnect()
process.exit(failed ? 1 : 0)
