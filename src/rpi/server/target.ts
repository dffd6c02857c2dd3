// The target of a request in its two usual forms: `/path?query` and, from proxies, the whole URL.

/** Path and query of a request target, both still encoded. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  let rest = target
  if (!rest.startsWith('/')) {
    const host = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(rest)
    rest = host === null ? rest : rest.slice(host[0].length)
  }
  const hash = rest.indexOf('#')
  if (hash >= 0) rest = rest.slice(0, hash)
  const mark = rest.indexOf('?')
  const path = mark < 0 ? rest : rest.slice(0, mark)
  return { path: path === '' ? '/' : path, query: mark < 0 ? '' : rest.slice(mark + 1) }
}
