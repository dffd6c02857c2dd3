// Every way in which a real Kafka fails us, by way of @confluentinc/kafka-javascript.
import { describeFaults } from '../kafka/faults.ts'

describeFaults('@confluentinc/kafka-javascript')
