// A lab of the transport suite on a RabbitMQ of its own, which is killed, stopped, cut off and silenced; each transport has a connection of its own.
import { type RabbitmqTransportOptions, rabbitmqTransport } from 'fairlead/rabbitmq'
import type { TransportLab } from 'fairlead/testing'
import { startRabbitmq } from '../../services/rabbitmq-instance.ts'
import { server } from '../../services/servers.ts'
import { proxyTo } from '../../services/toxiproxy.ts'
import { type Client, clientNamed } from './clients.ts'

/**
 * A lab for one client and one setting of the transport.
 * @param stops whether the broker can be stopped for a while, which each time takes as long as its start: what is asked then is of the client alone
 */
export async function troubledLab(
  name: Client['name'],
  options: Omit<RabbitmqTransportOptions, 'name'> = {},
  stops: boolean = true,
): Promise<TransportLab> {
  const client = clientNamed(name)
  const instance = await startRabbitmq()
  const proxy = server('toxiproxy') === undefined ? undefined : await proxyTo(instance)
  const ending: Promise<unknown>[] = []
  return {
    heavy: 1_000,
    delayMs: 3_000,
    patienceMs: 60_000,
    open() {
      const { driver, end } = client.open(proxy ?? instance)
      const opened = rabbitmqTransport(driver, { ...options, answerTimeoutMs: 8_000 })
      const close = opened.close.bind(opened)
      // The connection is the caller's: here that is us.
      opened.close = async () => {
        await close()
        ending.push(end())
      }
      return opened
    },
    async restart() {
      await instance.remember()
      await instance.restart('kill')
    },
    ...(stops
      ? {
          async stop() {
            await instance.stop('fast')
            return () => instance.start()
          },
        }
      : undefined),
    ...(proxy === undefined
      ? undefined
      : {
          async cut() {
            await proxy.refuse()
            await proxy.mend()
          },
          async freeze() {
            await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
            await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
            return () => proxy.mend()
          },
        }),
    async close() {
      await Promise.all(ending)
      await proxy?.remove()
      await instance.remove()
    },
  }
}
