// What users rely on when processes, brokers and members die, by way of @confluentinc/kafka-javascript.
import { describeTrouble } from '../kafka/trouble.ts'

describeTrouble('@confluentinc/kafka-javascript')
