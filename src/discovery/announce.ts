// A service makes itself known and leaves without a failed call: the whole order of it in one place, for any server.
import { type Announcement, type AnnounceOptions, announceEndpoint } from '../core/announcement.ts'

export type { Announcement, AnnounceOptions } from '../core/announcement.ts'

/**
 * Announces a server that listens. At SIGTERM, or when `leave` is called: tells that it is draining, goes on answering until clients can have seen that
 * (`drainMs`), deregisters, lets `closeServer` finish what is in flight, and resolves. The exit code is the process's own: it ends when nothing keeps it up.
 * @returns once it is announced; or, unless it is `required`, once the first try has failed: it is tried again in the background
 * @throws FairleadError INVALID_OPTIONS; with `required` what the registrar rejects with
 * @example
 * server.listen(8080)
 * await announce({
 *   registrar: eurekaRegistrar({ urls: ['http://eureka:8761/eureka'] }),
 *   service: 'inventory',
 *   endpoint: { id: 'inventory-1', addresses: [{ host: '10.0.0.7', port: 8080 }] },
 *   closeServer: () => new Promise((closed) => server.close(closed)),
 * })
 */
export function announce(options: AnnounceOptions): Promise<Announcement> {
  return announceEndpoint(options)
}
