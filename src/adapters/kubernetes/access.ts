// Who we are to the API server: a token that is replaced under our feet, and the authority that we believe.
import { createError } from '../../errors/classes.ts'
import type { KubernetesSettings } from './options.ts'

const TOKEN_AGE_MS = 60_000

/** Reads the files of a service account, each as seldom as possible. */
export interface Access {
  headers(): Promise<Readonly<Record<string, string>>>
  /** The token was refused: the next request reads it anew. */
  renew(): void
  ca(): Promise<string | readonly string[] | undefined>
  namespace(): Promise<string>
}

/** Access by the settings of a source. */
export function access(settings: KubernetesSettings): Access {
  return new FileAccess(settings)
}

class FileAccess implements Access {
  readonly #settings: KubernetesSettings
  #token: { readonly text: string; readonly at: number } | undefined
  #stale = false
  #namespace: string | undefined

  constructor(settings: KubernetesSettings) {
    this.#settings = settings
  }

  async headers(): Promise<Readonly<Record<string, string>>> {
    const token = await this.#currentToken()
    return token === undefined ? {} : { authorization: `Bearer ${token}` }
  }

  renew(): void {
    this.#stale = true
  }

  async ca(): Promise<string | readonly string[] | undefined> {
    const { ca, caFile } = this.#settings
    return caFile === undefined ? ca : await read(caFile)
  }

  async namespace(): Promise<string> {
    const { namespace, inCluster, serviceAccount } = this.#settings
    if (namespace !== undefined) return namespace
    if (!inCluster) return 'default'
    this.#namespace ??= (await read(`${serviceAccount}/namespace`)).trim()
    return this.#namespace
  }

  async #currentToken(): Promise<string | undefined> {
    const { token, tokenFile, clock } = this.#settings
    if (token === undefined && tokenFile === undefined) return undefined
    const kept = this.#token
    if (kept !== undefined && !this.#stale && clock.now() - kept.at < TOKEN_AGE_MS) return kept.text
    try {
      const text = (
        tokenFile !== undefined ? await read(tokenFile) : await (typeof token === 'function' ? token() : `${token}`)
      ).trim()
      // What a header may hold; the text itself is a secret and stays out of the message.
      if (!/^[\x21-\x7e]+$/.test(text))
        throw createError({ code: 'UNAUTHENTICATED', message: `${tokenFile ?? 'token'} holds no token`, stack: false })
      this.#token = { text, at: clock.now() }
      this.#stale = false
      return text
    } catch (error) {
      // Caught in the middle of being replaced: the old one may still do.
      if (kept !== undefined) return kept.text
      throw error
    }
  }
}

async function read(file: string): Promise<string> {
  return await process.getBuiltinModule('node:fs').promises.readFile(file, 'utf8')
}
