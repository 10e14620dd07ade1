// eventsource-parser, asked by the conformance kit: a case a line on standard input, an answer a line on standard output.
// The last event id is followed through onId, as its documentation says; the text is JSON.parse's of each event's data.

import {createInterface} from 'node:readline'
import {createParser} from 'eventsource-parser'

const decoders = {
  sse(chunks) {
    const events = []
    let lastEventId = ''
    let retry = null
    read(chunks, {
      onId(id) { lastEventId = id },
      onRetry(milliseconds) { retry = milliseconds },
      onEvent({event, data}) {
        events.push([event ?? 'message', data, lastEventId, retry])
        retry = null
      },
    })
    return {events}
  },
  deltas(chunks) {
    const text = []
    let done = false
    try {
      read(chunks, {
        onEvent({data}) {
          done ||= data === '[DONE]'
          if (done) return
          const content = JSON.parse(data).choices[0]?.delta.content
          if (content) text.push(content)
        },
      })
    } catch (error) {
      return {text, failure: String(error)}
    }
    return {text}
  },
}

function read(chunks, callbacks) {
  const parser = createParser(callbacks)
  const characters = new TextDecoder('utf-8', {ignoreBOM: true}) // the mark is the parser's to drop
  for (const chunk of chunks) parser.feed(characters.decode(Buffer.from(chunk, 'base64'), {stream: true}))
  parser.feed(characters.decode())
}

let decode
for await (const line of createInterface({input: process.stdin})) {
  const said = JSON.parse(line)
  if (decode === undefined) {
    decode = decoders[said.kind]
    const claims = said.kind === 'sse' ? ['types', 'ids', 'retry'] : []
    console.log(JSON.stringify({'tailrace-conformance': 1, name: 'eventsource-parser', claims}))
  } else {
    console.log(JSON.stringify({case: said.case, ...decode(said.chunks)}))
  }
}
