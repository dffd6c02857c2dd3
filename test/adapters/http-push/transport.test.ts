// The contract, over real sockets: each transport of the suite is a process with a server of its own.
import { afterAll, describe, test } from 'vitest'
import { testTransport } from '../../../src/testing/index.ts'
import { pushLab } from './lab.ts'

const runner = { describe, test, skip: test.skip, afterAll }

await testTransport('http-push, served by node', () => pushLab('node'), runner)
await testTransport('http-push, served by fetch', () => pushLab('fetch'), runner)
