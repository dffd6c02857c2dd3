// The three services on one machine, each with a file and a port of its own. They are started and stopped by name, so that one can be down.
import { randomBytes } from 'node:crypto'
import type { RequestListener } from 'node:http'
import type { ProcessRunner } from 'fairlead/messaging'
import { type Addresses, type Carrier, listen, type Name, overHttp } from './carrier.ts'
import { consumerService } from './consumer-service.ts'
import type { Ground, Place } from './ground.ts'
import { orderService } from './order-service.ts'
import { restaurantService } from './restaurant-service.ts'

export interface ShopOptions {
  readonly folder: string
  /** Filled in as services start. */
  readonly at?: Addresses | undefined
  /** The one line that changes: what messages travel by. Default: HTTP push, with a secret of this shop. */
  readonly carrier?: ((at: Addresses) => Carrier) | undefined
  readonly heartbeatMs?: number | undefined
}

/** A service that runs. */
export interface Service {
  readonly file: Ground['file']
  readonly listener?: RequestListener | undefined
  readonly runner?: ProcessRunner | undefined
  /** How many clients are told of their orders at the moment. */
  readonly watched?: (() => number) | undefined
  close(): Promise<void>
}

const CREDIT = { alice: 5_000, bob: 1_000 }
const MENUS = { corner: { soup: { cents: 400, portions: 10 }, pie: { cents: 900, portions: 2 } } }

export function createShop({ folder, at = {}, heartbeatMs, ...options }: ShopOptions) {
  const { carrier = overHttp(`whsec_${randomBytes(24).toString('base64')}`) } = options
  const running = new Map<Name, () => Promise<void>>()
  const open: Readonly<Record<Name, (place: Place) => Promise<Service>>> = {
    orders: (place) => orderService(place, heartbeatMs),
    consumers: (place) => consumerService(place, CREDIT),
    restaurants: (place) => restaurantService(place, MENUS),
  }

  async function start(name: Name): Promise<Service> {
    const { transport, listener } = carrier(at)
    const service = await open[name]({ path: `${folder}/${name}.db`, transport })
    // Last: whoever pushes a message finds somebody who takes it.
    const server = await listen(listener, service.listener)
    at[name] = server.url
    running.set(name, async () => {
      await service.close()
      await transport.close()
      await server.close()
    })
    return service
  }

  async function stop(name: Name): Promise<void> {
    await running.get(name)?.()
    running.delete(name)
    delete at[name]
  }

  return { at, start, stop, close: () => Promise.all([...running.keys()].map(stop)) }
}
