import { interceptors, request, setGlobalDispatcher, fetch as undiciFetch } from 'undici'
import { expectTypeOf, test } from 'vitest'
import { discoveryDispatcher, discoveryFetch, httpTransport, resilience } from '../../../src/adapters/http/index.ts'
import { createDiscovery, staticSource } from '../../../src/discovery/index.ts'

const discovery = createDiscovery({ source: staticSource({ inventory: ['10.0.0.1:80'] }) })

test('is a dispatcher for undici', () => {
  const dispatcher = discoveryDispatcher(discovery)
  const calls = () => {
    setGlobalDispatcher(dispatcher)
    void request('http://inventory/', { dispatcher })
    void request('http://inventory/', { dispatcher: dispatcher.compose(interceptors.retry(), resilience()) })
    void undiciFetch('http://inventory/', { dispatcher })
  }
  expectTypeOf(calls).toBeFunction()
  expectTypeOf(discoveryFetch(dispatcher)).toEqualTypeOf<typeof fetch>()
})

test('wants a discovery', () => {
  // @ts-expect-error a source is none
  expectTypeOf(() => discoveryDispatcher(staticSource({}))).toBeFunction()
  // @ts-expect-error there is no such option
  expectTypeOf(() => discoveryDispatcher(discovery, { baseUrl: 'http://a' })).toBeFunction()
})

test('a key sticks only where endpoints are found', () => {
  httpTransport({ discovery, stickyKey: ({ customer }: { customer: string }) => customer })
  // @ts-expect-error with a base URL there is nothing to choose from
  httpTransport({ baseUrl: 'http://a', stickyKey: () => 'k' })
})
