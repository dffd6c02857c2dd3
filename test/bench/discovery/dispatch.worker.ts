// One client, in a process of its own: gets 1 KiB through a dispatcher as often as it can for a while.
import { createDiscovery, staticSource } from 'fairlead/discovery'
import { discoveryDispatcher } from 'fairlead/http'
import { type Dispatcher, Pool, request } from 'undici'
import { answering } from '../answering.ts'
import { keepCallingWarm, type LoopAnswer, type LoopAsk } from '../closed-loop.ts'

const [, , name = '', url = ''] = process.argv
const { origin, host, pathname } = new URL(url)
const ours = name === 'discoveryDispatcher'

const dispatcher: Dispatcher = ours
  ? discoveryDispatcher(createDiscovery({ source: staticSource({ inventory: [host] }) }))
  : new Pool(origin)
const target = ours ? `http://inventory${pathname}` : url

async function call(): Promise<string> {
  const { body } = await request(target, { dispatcher })
  return await body.text()
}

if ((await call()).length !== 1_024) throw new Error(`${name} does not get the 1 KiB`)
answering<LoopAsk, LoopAnswer>((ask) => keepCallingWarm(call, ask))
