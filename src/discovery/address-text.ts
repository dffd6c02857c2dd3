// Addresses as people write them into code, files and the environment.
import type { Endpoint } from '../core/contracts/source.ts'
import { readHost, readPort } from './entry.ts'

/** What `readAddressText` takes, for complaints. */
export const ADDRESS_TEXT = 'give host:port, or http://host:port, or https://host:port'

/** An endpoint of `host:port`, `http://host:port`, `https://host:port`, `[::1]:80`; a scheme may stand for its port. Undefined for anything else. */
export function readAddressText(text: string): Endpoint | undefined {
  const schemed = text.includes('://')
  let url: URL
  try {
    url = new URL(schemed ? text : `http://${text}`)
  } catch {
    return undefined
  }
  const secure = url.protocol === 'https:'
  if ((!secure && url.protocol !== 'http:') || url.pathname !== '/' || url.search !== '' || url.hash !== '')
    return undefined
  if (url.username !== '' || url.password !== '') return undefined
  // A URL drops the port that its scheme implies, so `host:80` has to be looked at as text.
  const implied = schemed ? (secure ? 443 : 80) : text.endsWith(':80') ? 80 : undefined
  const port = url.port === '' ? implied : readPort(url.port)
  const host = readHost(url.hostname)
  if (port === undefined || host === undefined) return undefined
  return { id: `${url.hostname}:${port}`, addresses: [{ host, port }], ...(secure ? { secure } : {}) }
}
