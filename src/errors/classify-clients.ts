// axios, got and ky, where they say it in words of their own.
import { type Facts, type Finding, read, type Table } from './classify-facts.ts'
import { answeredWell } from './classify-http.ts'

/** axios 1. */
const AXIOS: Readonly<Record<string, Finding>> = {
  ERR_NETWORK: { code: 'CONNECTION_LOST', weak: true },
  ERR_FR_REDIRECTION_FAILURE: { code: 'UNEXPECTED_REDIRECT', weak: true },
  ERR_FR_MAX_BODY_LENGTH_EXCEEDED: { code: 'PAYLOAD_TOO_LARGE', effect: 'unknown' },
  ERR_BAD_OPTION: { code: 'INVALID_OPTIONS' },
  ERR_BAD_OPTION_VALUE: { code: 'INVALID_OPTIONS' },
  ERR_NOT_SUPPORT: { code: 'INVALID_OPTIONS' },
  ERR_DEPRECATED: { code: 'INVALID_OPTIONS' },
  ERR_FORM_DATA_DEPTH_EXCEEDED: { code: 'INVALID_REQUEST' },
}

/** got 14. */
const GOT: Readonly<Record<string, Finding>> = {
  ERR_UPLOAD: { code: 'CONNECTION_LOST', weak: true },
  ERR_UNSUPPORTED_PROTOCOL: { code: 'INVALID_REQUEST' },
}

/** What got was waiting for when its timeout struck. */
const GOT_TIMEOUT: Readonly<Record<string, Finding>> = {
  lookup: { code: 'NAME_LOOKUP_TIMEOUT' },
  connect: { code: 'CONNECT_TIMEOUT' },
  secureConnect: { code: 'CONNECT_TIMEOUT' },
  response: { code: 'HEAD_TIMEOUT' },
  read: { code: 'BODY_TIMEOUT' },
}

/** The errors of HTTP clients that carry no answer. */
export const clientsTable: Table = (facts) => {
  const { code, message } = facts
  if (code === '') return undefined
  if (Object.hasOwn(AXIOS, code)) return AXIOS[code]
  if (Object.hasOwn(GOT, code)) return GOT[code]
  if (code === 'ERR_BODY_PARSE_FAILURE')
    return { code: 'REPLY_UNDECODABLE', effect: answeredWell(facts) ? 'done' : 'unknown', answered: true }
  if (isAxios(facts)) return ofAxios(facts)
  // got, in the body; its code is that of the cause, if that has one.
  if (facts.name === 'ReadError' && code !== 'ETIMEDOUT') return { code: 'REPLY_TRUNCATED', weak: true, inBody: true }
  if (code === 'ETIMEDOUT') {
    const event = read(facts.value, 'event')
    if (typeof event === 'string') return GOT_TIMEOUT[event] ?? { code: 'TIMED_OUT' }
  }
  // zlib and brotli: bytes that cannot be unpacked, or too few of them. Which reply they were of is not known.
  if (code === 'Z_BUF_ERROR' && message === 'unexpected end of file') return { code: 'REPLY_TRUNCATED' }
  if (/^(Z_(DATA|BUF|STREAM)_ERROR$|ERR_+ERROR_FORMAT|ERR_BROTLI_|ZSTD_error)/.test(code))
    return { code: 'REPLY_UNDECODABLE', effect: 'unknown' }
  return undefined
}

function isAxios({ name, value }: Facts): boolean {
  return name === 'AxiosError' || read(value, 'isAxiosError') === true
}

// By the code, and by the text where axios uses one code for several things.
function ofAxios({ code, message, syscall, value }: Facts): Finding | undefined {
  // With a system call further in it is the kernel's; otherwise the `timeout` option of axios.
  if ((code === 'ECONNABORTED' || code === 'ETIMEDOUT') && syscall === '' && read(value, 'cause') === undefined)
    return /timeout/i.test(message) || code === 'ETIMEDOUT' ? { code: 'TIMED_OUT' } : { code: 'CONNECTION_LOST' }
  if (code === 'ERR_BAD_RESPONSE') {
    if (message.startsWith('maxContentLength')) return { code: 'REPLY_TOO_LARGE' }
    if (message.includes('aborted')) return { code: 'REPLY_TRUNCATED' }
    return { code: 'REPLY_UNDECODABLE', effect: 'unknown', weak: true }
  }
  if (code === 'ERR_BAD_REQUEST')
    return message.includes('maxBodyLength') ? { code: 'PAYLOAD_TOO_LARGE' } : { code: 'INVALID_REQUEST' }
  return undefined
}
