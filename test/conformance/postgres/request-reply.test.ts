// Requests and replies over the PostgreSQL transport, on a real server.
import { afterAll, describe, test } from 'vitest'
import { requestCases } from '../../messaging/request-reply/cases.ts'
import { server } from '../../services/servers.ts'
import { postgresLab } from './postgres-lab.ts'

const address = server('postgres')
if (address === undefined) throw new Error('postgres is not up')

await requestCases('PostgreSQL', () => postgresLab(address), { describe, test, afterAll })
