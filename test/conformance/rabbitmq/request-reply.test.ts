// Requests and replies over RabbitMQ, on the real broker.
import { afterAll, describe, test } from 'vitest'
import { requestCases } from '../../messaging/request-reply/cases.ts'
import { sharedLab } from './shared-lab.ts'

await requestCases('RabbitMQ', sharedLab, { describe, test, afterAll }, { briefMs: 4_000 })
