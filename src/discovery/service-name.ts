// Names of services come from URLs and configuration, and go into queries, paths and messages.
import { invalidOption } from '../core/options.ts'

const LONGEST = 255

/**
 * Checks the name of a service.
 * @throws FairleadError INVALID_OPTIONS for anything but a string of 1 to 255 characters without control characters
 */
export function readServiceName(option: string, name: unknown): string {
  if (typeof name === 'string' && name.length > 0 && name.length <= LONGEST && !hasControls(name)) return name
  const shown = typeof name === 'string' && name.length > LONGEST ? `${name.slice(0, 32)}... (${name.length})` : name
  throw invalidOption(option, shown, `give a name of 1 to ${LONGEST} characters without control characters`)
}

function hasControls(name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at)
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return true
  }
  return false
}
