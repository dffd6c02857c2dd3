// The view of a whole registry: changes are good to be applied twice, and the count is the registry's own.
import { expect, test } from 'vitest'
import { registryView } from '../../../src/adapters/eureka/registry-view.ts'
import type { EurekaApplications } from '../../../src/adapters/eureka/wire.ts'

const all = (
  ...instances: readonly (readonly [app: string, id: string, status: string, action?: string])[]
): EurekaApplications => ({
  hash: undefined,
  applications: instances.map(([app, id, status, actionType]) => ({
    name: app,
    instances: [{ instanceId: id, app, status, ...(actionType === undefined ? {} : { actionType }) }],
  })),
})

test('counts all instances by status, in order of the names', () => {
  const view = registryView()
  expect(view.hash()).toBe('')
  view.replace(all(['A', '1', 'UP'], ['B', '1', 'UP'], ['A', '2', 'OUT_OF_SERVICE'], ['C', '3', 'DOWN']))
  expect(view.hash()).toBe('DOWN_1_OUT_OF_SERVICE_1_UP_2_')
})

test('changes may come again', () => {
  const view = registryView()
  view.replace(all(['A', '1', 'UP'], ['A', '2', 'UP'], ['B', '1', 'UP']))
  const changes = all(
    ['A', '1', 'DOWN', 'MODIFIED'],
    ['A', '2', 'UP', 'DELETED'],
    ['B', '1', 'UP', 'DELETED'],
    ['C', '9', 'UP', 'ADDED'],
  )
  for (let times = 0; times < 3; times++) {
    view.apply(changes)
    expect(view.hash()).toBe('DOWN_1_UP_1_')
    expect(view.instances('A')).toMatchObject([{ instanceId: '1', status: 'DOWN' }])
    expect(view.instances('B')).toBeUndefined()
    expect(view.instances('C')).toHaveLength(1)
  }
})

test('a replacement forgets what was', () => {
  const view = registryView()
  view.replace(all(['A', '1', 'UP']))
  view.replace(all(['B', '1', 'STARTING']))
  expect(view.instances('A')).toBeUndefined()
  expect(view.hash()).toBe('STARTING_1_')
})
