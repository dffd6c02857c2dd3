// Groups that are dropped, by way of the clients that are always at hand.
import { describeGroups } from './groups.ts'
import { CLIENTS } from './kafka-lab.ts'

for (const client of CLIENTS) describeGroups(client)
