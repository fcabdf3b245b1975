// Keeps a producer and a group running, or reads a topic, with kafkajs: see failover_test.go for the lines it speaks.
// Usage: node failover.mjs load HOST:PORT,... TOPIC GROUP
//        node failover.mjs read HOST:PORT,... TOPIC COUNT
import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import kafkajs from 'kafkajs'

const { Kafka, logLevel } = kafkajs
const [mode, bootstrap, topic, last] = process.argv.slice(2)
const partitions = 6
const kafka = new Kafka({
  clientId: 'failover',
  brokers: bootstrap.split(','),
  logLevel: logLevel.WARN,
  logCreator: () => ({ log, label }) => process.stderr.write(`${log.timestamp} ${label} ${log.logger}: ${log.message} ${log.error ?? ''}\n`),
  retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 200 },
})
// A consumer whose coordinator is gone looks for another one only when it has used up its retries and starts anew, and one that has nothing to
// fetch from a broker sleeps for maxWaitTimeInMs whatever moves there meanwhile.
const patience = { retry: { retries: 5 }, maxWaitTimeInMs: 500 }
const say = (...words) => process.stdout.write(words.join(' ') + '\n')

// One send for each partition: kafkajs 2.2.4 repeats a send broker by broker, and drops what moved to a broker that has answered its share.
async function produce(partition, state) {
  for (let n = partition; !state.finish; n += partitions) {
    try {
      const [answer] = await state.producer.send({ topic, acks: -1, messages: [{ value: `${n}`, partition }] })
      say('acked', answer.partition, answer.baseOffset, n)
    } catch (e) {
      say('error', `delivery of ${n} to partition ${partition}: ${e.message}`)
    }
    await new Promise((done) => setTimeout(done, 20))
  }
}

async function load(groupId) {
  const state = { finish: false, producer: kafka.producer({ idempotent: true, maxInFlightRequests: 1 }) }
  await state.producer.connect()
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10000, heartbeatInterval: 500, ...patience })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) say('error', `the consumer crashed: ${payload.error.message}`)
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ autoCommitInterval: 500, eachMessage: async ({ partition, message }) => say('consumed', partition, message.offset) })
  const producing = Promise.all(Array.from({ length: partitions }, (_, p) => produce(p, state)))
  for await (const _ of createInterface({ input: process.stdin })) {
    state.finish = true
    await producing
    await state.producer.disconnect()
    say('flushed')
  }
  await consumer.disconnect()
}

async function read(count) {
  const consumer = kafka.consumer({ groupId: `reader-${randomUUID()}`, ...patience })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error))
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        say('read', partition, message.offset, message.value)
        if (--count === 0) resolve()
      },
    }).catch(reject)
  })
  await consumer.disconnect()
}

await (mode === 'load' ? load(last) : read(Number(last)))
process.exit(0)
