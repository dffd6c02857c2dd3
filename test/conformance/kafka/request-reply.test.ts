// Requests and replies over Kafka, on the real broker.
import { afterAll, describe, test } from 'vitest'
import { requestCases } from '../../messaging/request-reply/cases.ts'
import { sharedLab } from './shared-lab.ts'

await requestCases('Kafka', sharedLab, { describe, test, afterAll }, { briefMs: 4_000 })
