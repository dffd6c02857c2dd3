// How the data of a message becomes bytes.

/** Data to bytes and back. */
export interface Codec {
  /** Travels as `datacontenttype`. */
  readonly contentType: string
  /**
   * Whether it reads bodies of another media type as well, for example with parameters. `contentType` is the whole value of `datacontenttype`.
   * Default: the same media type, parameters left aside.
   */
  accepts?(contentType: string): boolean
  /** `undefined` has an empty body and is never given to it. @throws FairleadError `INVALID_INPUT` with `details.issues` for what it cannot carry */
  encode(data: unknown): Uint8Array
  /** An empty body is `undefined` and is never given to it. @throws FairleadError `MESSAGE_UNDECODABLE`; anything else that it throws becomes one */
  decode(body: Uint8Array): unknown
}

/** The media type without parameters, in lower case. */
export function mediaTypeOf(contentType: string): string {
  const end = contentType.indexOf(';')
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase()
}

/** Whether a content type says JSON: `application/json`, `text/json`, and every `+json`. */
export function isJson(contentType: string): boolean {
  const type = mediaTypeOf(contentType)
  return type === 'application/json' || type === 'text/json' || type.endsWith('+json')
}

/** The value of a parameter of a media type, such as `charset`, in lower case. */
export function parameterOf(contentType: string, name: string): string | undefined {
  for (const part of contentType.split(';').slice(1)) {
    const [key, value] = part.split('=')
    if (key?.trim().toLowerCase() === name)
      return value
        ?.trim()
        .replace(/^"(.*)"$/, '$1')
        .toLowerCase()
  }
  return undefined
}
