// One candidate: picks among so many endpoints with everything that is counted, or takes over a new list; answers with nanoseconds of CPU of one.
import { type BalancerName, createDiscovery, type Endpoint, type Lease, staticSource } from 'fairlead/discovery'
import { BalancedPool } from 'undici'
import { answering } from '../answering.ts'

interface Ask {
  readonly ms: number
}

// So many calls are in flight at any time: a pick that looks at them has something to look at.
const IN_FLIGHT = 64
const [what = '', size = '10'] = process.argv.slice(2)
const count = Number(size)

const endpoints = (from: number): Endpoint[] =>
  Array.from({ length: count }, (_, index) => ({
    id: `endpoint-${from + index}`,
    addresses: [{ host: `10.${(index >> 8) & 255}.${index & 255}.${1 + (from % 250)}`, port: 8080 }],
  }))

async function picking(balancer: BalancerName): Promise<() => unknown> {
  const discovery = createDiscovery({ source: staticSource({ stock: endpoints(0) }), balancer })
  const resolver = discovery.resolver('stock')
  ;(await resolver.acquire()).report({ kind: 'success', latencyMs: 1 })
  const leases: Lease[] = []
  for (let call = 0; call < IN_FLIGHT; call++) leases.push(resolver.acquire() as Lease)
  const contexts = Array.from({ length: 1_000 }, (_, index) => ({ key: `user-${index}` }))
  let at = 0
  let turn = 0
  return () => {
    leases[at]?.report({ kind: 'success', latencyMs: 10 + (turn & 7) })
    if (++turn === contexts.length) turn = 0
    leases[at] = resolver.acquire(contexts[turn]) as Lease
    if (++at === IN_FLIGHT) at = 0
  }
}

// Only its choice: no request is made and nothing is counted.
function balancedPool(): () => unknown {
  const pool = new BalancedPool(endpoints(0).map(({ addresses: [first] }) => `http://${first?.host}:${first?.port}`))
  for (let proto = Object.getPrototypeOf(pool); proto !== null; proto = Object.getPrototypeOf(proto))
    for (const symbol of Object.getOwnPropertySymbols(proto))
      if (symbol.description === 'get dispatcher') {
        const choose = (pool as unknown as Record<symbol, () => unknown>)[symbol] as () => unknown
        if (choose.call(pool) === undefined) throw new Error('BalancedPool chose nothing')
        return () => choose.call(pool)
      }
  throw new Error('this BalancedPool chooses otherwise')
}

// A new list of which one endpoint is new, through source, checks, comparison, resolver and balancer.
async function updating(): Promise<() => unknown> {
  const first = endpoints(0)
  const lists = [first, [...endpoints(count).slice(0, 1), ...first.slice(1)]] as const
  const source = staticSource({ stock: first })
  const discovery = createDiscovery({ source, debounceMs: 0 })
  const resolver = discovery.resolver('stock')
  ;(await resolver.acquire()).report({ kind: 'cancelled', latencyMs: 0 })
  const ids = (): number =>
    discovery.inspect('stock')?.endpoints.filter(({ endpoint: { id } }) => id === 'endpoint-0').length ?? -1
  let turn = 0
  const step = (): void => {
    source.set('stock', lists[++turn & 1] as Endpoint[])
  }
  const before = ids()
  step()
  if (ids() === before) throw new Error('the update was not taken over')
  return step
}

function rebuilding(): () => unknown {
  const list = endpoints(0)
  return () => {
    const map = new Map<string, Endpoint>()
    for (const endpoint of list) map.set(endpoint.id, endpoint)
    return map
  }
}

const step = await (what === 'BalancedPool'
  ? balancedPool()
  : what === 'update'
    ? updating()
    : what === 'Map'
      ? rebuilding()
      : picking(what as BalancerName))
let kept: unknown

answering<Ask, { readonly ns: number }>(async ({ ms }) => {
  // CPU time: what is measured waits for nothing, and neighbours on the machine are not its cost. Read once in a while only.
  const cpuNow = (): number => {
    const { user, system } = process.cpuUsage()
    return user + system
  }
  let batch = 1
  let steps = 0
  let spentUs = 0
  const began = cpuNow()
  while (spentUs < ms * 1_000) {
    for (let left = batch; left > 0; left--) kept = step()
    steps += batch
    spentUs = cpuNow() - began
    if (spentUs < ms * 250) batch = Math.min(batch * 2, 1_000)
  }
  if (kept === answering) throw new Error('unreachable')
  return { ns: (spentUs * 1_000) / steps }
})
