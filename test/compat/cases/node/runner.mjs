// Runs the cases of a Node client: what the programs have in common. A case is an asynchronous function; it returns, throws Skip where the client
// lacks what the case checks, or fails.

const LIMIT = 105_000 // ms for all cases
const AT_ONCE = 8

export const [bootstrap, prefix = 'js', only = ''] = process.argv.slice(2)
const cases = []

export class Skip extends Error {}

export const lacks = what => { throw new Skip(`the client has no ${what}`) }
export const add = (name, body) => cases.push({ name, body })
export const name = what => `${prefix}-${what}`
export const sleep = ms => new Promise(done => setTimeout(done, ms))
export const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `${from + i}`)

export function check(got, want, what = 'value') {
  const [a, b] = [got, want].map(v => JSON.stringify(v, (_, x) => typeof x === 'bigint' ? `${x}n` : x === undefined ? 'undefined' : x))
  if (a !== b) throw new Error(`${what} is ${String(a).slice(0, 120)}, want ${String(b).slice(0, 120)}`)
}

// until waits for a condition.
export async function until(holds, what, ms = 45_000) {
  const end = Date.now() + ms
  while (!await holds()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await sleep(20)
  }
}

// refused wants the call to fail with an error type of Kafka.
export async function refused(type, call) {
  let result
  try {
    result = await call()
  } catch (e) {
    const types = new Set()
    for (const one of [e, e.cause, e.originalError, ...(e.errors ?? [])]) if (one?.type) types.add(one.type)
    if (!types.has(type)) throw new Error(`refused with ${[...types]} ${e.message}, want ${type}`)
    return
  }
  throw new Error(`not refused, want ${type}, but ${JSON.stringify(result)}`)
}

// murmur2 is the hash that Kafka's default partitioner takes of a key, made positive.
export function murmur2(key) {
  const data = Buffer.from(key), m = 0x5bd1e995
  let h = (0x9747b28c ^ data.length) | 0, i = 0
  for (; i + 4 <= data.length; i += 4) {
    let k = Math.imul(data.readInt32LE(i), m)
    k = Math.imul(k ^ (k >>> 24), m)
    h = Math.imul(h, m) ^ k
  }
  if (i < data.length) h = Math.imul(h ^ data.readUIntLE(i, data.length - i), m)
  h = Math.imul(h ^ (h >>> 13), m)
  return (h ^ (h >>> 15)) & 0x7fffffff
}

async function outcome({ name, body }) {
  const start = Date.now()
  let result = 'ok'
  try {
    await body()
  } catch (e) {
    if (!(e instanceof Skip)) console.error(name, e)
    result = `${e instanceof Skip ? 'skip' : 'fail'} ${e.message.replace(/\s+/g, ' ').slice(0, 300)}`
  }
  console.error(`${name}: ${(Date.now() - start) / 1000} s, ${result}`)
  return result
}

// main runs the cases side by side, for most of their time is spent waiting, and prints them in the order they were added.
export async function main() {
  const wanted = cases.filter(c => c.name.includes(only))
  const late = sleep(LIMIT).then(() => 'fail not finished in time')
  const queue = [...wanted]
  const work = async () => {
    for (let c; (c = queue.shift());) {
      c.result = outcome(c)
      await c.result
    }
  }
  await Promise.race([Promise.all(Array.from({ length: AT_ONCE }, work)), late])
  for (const c of wanted) console.log('case', c.name, await Promise.race([c.result ?? late, late]))
  console.log('done', wanted.length)
  process.exit(0) // what a case has left open must not hold the program
}
