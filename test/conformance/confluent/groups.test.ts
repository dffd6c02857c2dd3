// Groups that are dropped, by way of @confluentinc/kafka-javascript.
import { describeGroups } from '../kafka/groups.ts'

describeGroups('@confluentinc/kafka-javascript')
