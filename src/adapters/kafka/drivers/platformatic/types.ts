// The subset of @platformatic/kafka (1.x) that its driver uses, by structure: the user hands in the module itself, so no version of it is pinned here.
//
// Groups, fetching and producing go by the low-level requests that the package exports, not by its Consumer and Producer: those rejoin and commit on
// their own (a commit of an old generation is sent again with the new one), never look for a coordinator that has moved, and count no sequence number
// up for partitions that were written beside one that failed, so that the broker takes their next batch for a repetition and drops it.

/** Where a broker listens. */
export interface PlatformaticBroker {
  readonly host: string
  readonly port: number
}

/** One connection; only ever handed back to the package. */
export interface PlatformaticConnection {
  readonly instanceId: number
}

/** One request of the protocol. */
export interface PlatformaticRequest<Arguments extends unknown[], Answer> {
  readonly api: {
    async(connection: PlatformaticConnection, ...given: Arguments): Promise<Answer>
  }
}

/** One topic of a commit. */
export interface PlatformaticOffsets {
  name: string
  partitions: {
    partitionIndex: number
    committedOffset: bigint
    committedLeaderEpoch: number
    committedMetadata: string | null
  }[]
}

/** What is known of the cluster. */
export interface PlatformaticMetadata {
  readonly brokers: ReadonlyMap<number, PlatformaticBroker>
  readonly topics: ReadonlyMap<
    string,
    { readonly partitionsCount: number; readonly partitions: readonly { readonly leader: number }[] }
  >
}

/** Its `Admin`. */
export interface PlatformaticAdmin {
  readonly connections: { get(broker: PlatformaticBroker): Promise<PlatformaticConnection> }
  metadata(options: { topics: string[]; forceUpdate: boolean }): Promise<PlatformaticMetadata>
  createTopics(options: {
    topics: string[]
    partitions: number
    replicas: number
    configs: { name: string; value: string }[]
  }): Promise<unknown>
  deleteTopics(options: { topics: string[] }): Promise<void>
  findCoordinator(options: {
    keyType: 0 | 1
    keys: string[]
  }): Promise<
    readonly { readonly key: string; readonly nodeId: number; readonly host: string; readonly port: number }[]
  >
  describeGroups(options: {
    groups: string[]
  }): Promise<ReadonlyMap<string, { readonly members: ReadonlyMap<string, unknown> }>>
  deleteGroups(options: { groups: string[] }): Promise<void>
  describeConfigs(options: {
    resources: { resourceType: number; resourceName: string; configurationKeys?: string[] | null | undefined }[]
  }): Promise<
    readonly { readonly configs: readonly { readonly name: string; readonly value: string | null | undefined }[] }[]
  >
  close(): Promise<void>
}

/** A record to be written; names and values of headers as bytes. */
export interface PlatformaticNewRecord {
  topic: string
  partition: number
  key: Buffer
  value: Buffer
  headers: Map<Buffer, Buffer>
}

/** A batch of records as it was read. */
export interface PlatformaticBatch {
  readonly firstOffset: bigint
  readonly lastOffsetDelta: number
  readonly firstTimestamp: bigint
  readonly maxTimestamp: bigint
  readonly attributes: number
  readonly producerId: bigint
  readonly records: readonly {
    readonly offsetDelta: number
    readonly timestampDelta: bigint
    readonly key: Buffer | null
    readonly value: Buffer | null
    readonly headers: readonly (readonly [Buffer | null, Buffer | null])[]
  }[]
}

/** What a fetch answers for one partition. */
export interface PlatformaticFetched {
  readonly partitionIndex: number
  readonly errorCode: number
  readonly logStartOffset: bigint
  readonly abortedTransactions: readonly { readonly producerId: bigint; readonly firstOffset: bigint }[]
  readonly records?: readonly PlatformaticBatch[]
}

interface Code {
  readonly errorCode: number
}

/** The module of @platformatic/kafka itself (`import * as kafka from ...`). `Connection` is what its `Admin` is made with. */
export interface PlatformaticKafka<Connection extends object> {
  readonly Admin: new (options: Connection) => PlatformaticAdmin
  /** Names of the broker's errors. */
  readonly protocolErrorsCodesById: Readonly<Record<number, string>>
  /** Sequence numbers by `topic:partition`; a Map with two methods more. */
  readonly NumericMap: new () => Map<string, number>
  readonly produceV9: PlatformaticRequest<
    [
      acks: number,
      timeoutMs: number,
      records: PlatformaticNewRecord[],
      options: {
        producerId: bigint
        producerEpoch: number
        // A NumericMap.
        sequences: any
        // A closed list of theirs
        compression: any
        transactionalId?: string
      },
    ],
    | boolean
    | {
        readonly responses: readonly {
          readonly name: string
          readonly partitionResponses: readonly (Code & { readonly index: number })[]
        }[]
      }
  >
  readonly initProducerIdV4: PlatformaticRequest<
    [transactionalId: string | null, timeoutMs: number, producerId: bigint, epoch: number],
    { readonly producerId: bigint; readonly producerEpoch: number }
  >
  readonly addPartitionsToTxnV3: PlatformaticRequest<
    [
      transactions: {
        transactionalId: string
        producerId: bigint
        producerEpoch: number
        verifyOnly: boolean
        topics: { name: string; partitions: number[] }[]
      }[],
    ],
    unknown
  >
  readonly addOffsetsToTxnV3: PlatformaticRequest<
    [transactionalId: string, producerId: bigint, producerEpoch: number, groupId: string],
    unknown
  >
  readonly txnOffsetCommitV3: PlatformaticRequest<
    [
      transactionalId: string,
      groupId: string,
      producerId: bigint,
      producerEpoch: number,
      generationId: number,
      memberId: string,
      groupInstanceId: null,
      topics: PlatformaticOffsets[],
    ],
    unknown
  >
  readonly endTxnV3: PlatformaticRequest<
    [transactionalId: string, producerId: bigint, producerEpoch: number, committed: boolean],
    unknown
  >
  readonly fetchV12: PlatformaticRequest<
    [
      maxWaitMs: number,
      minBytes: number,
      maxBytes: number,
      isolation: number,
      sessionId: number,
      sessionEpoch: number,
      // Up to version 12 it is the name.
      topics: {
        topicId: string
        partitions: {
          partition: number
          currentLeaderEpoch: number
          fetchOffset: bigint
          lastFetchedEpoch: number
          partitionMaxBytes: number
        }[]
      }[],
      forgotten: [],
      rack: string,
    ],
    { readonly responses: readonly { readonly topicId: string; readonly partitions: readonly PlatformaticFetched[] }[] }
  >
  readonly listOffsetsV5: PlatformaticRequest<
    [
      replica: number,
      isolation: number,
      topics: {
        name: string
        partitions: { partitionIndex: number; currentLeaderEpoch: number; timestamp: bigint }[]
      }[],
    ],
    {
      readonly topics: readonly {
        readonly partitions: readonly {
          readonly partitionIndex: number
          readonly errorCode: number
          readonly offset: bigint
        }[]
      }[]
    }
  >
  readonly joinGroupV6: PlatformaticRequest<
    [
      groupId: string,
      sessionTimeoutMs: number,
      rebalanceTimeoutMs: number,
      memberId: string,
      groupInstanceId: null,
      protocolType: string,
      protocols: { name: string; metadata: Buffer }[],
    ],
    {
      readonly generationId: number
      readonly protocolName: string | null | undefined
      readonly leader: string | null
      readonly memberId: string | null | undefined
      readonly members: readonly { readonly memberId: string; readonly metadata: Buffer | null | undefined }[]
    }
  >
  readonly syncGroupV4: PlatformaticRequest<
    [
      groupId: string,
      generationId: number,
      memberId: string,
      groupInstanceId: null,
      protocolType: null,
      protocolName: null,
      assignments: { memberId: string; assignment: Buffer }[],
    ],
    { readonly assignment: Buffer }
  >
  readonly heartbeatV4: PlatformaticRequest<
    [groupId: string, generationId: number, memberId: string, groupInstanceId: null],
    unknown
  >
  readonly leaveGroupV4: PlatformaticRequest<
    // One version wants a reason beside the id, another none
    [groupId: string, members: any[]],
    unknown
  >
  readonly offsetCommitV8: PlatformaticRequest<
    [groupId: string, generationId: number, memberId: string, groupInstanceId: null, topics: PlatformaticOffsets[]],
    {
      readonly topics: readonly {
        readonly name: string
        readonly partitions: readonly (Code & { readonly partitionIndex: number })[]
      }[]
    }
  >
  readonly offsetFetchV8: PlatformaticRequest<
    [
      groups: {
        groupId: string
        memberId: null
        memberEpoch: number
        // Null: all.
        topics: { name: string; partitionIndexes: number[] }[] | null
      }[],
      requireStable: boolean,
    ],
    {
      readonly groups: readonly {
        readonly errorCode: number
        readonly topics: readonly {
          readonly name: string
          readonly partitions: readonly {
            readonly partitionIndex: number
            readonly committedOffset: bigint
            readonly metadata: string | null | undefined
            readonly errorCode: number
          }[]
        }[]
      }[]
    }
  >
}
