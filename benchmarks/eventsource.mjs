// eventsource-parser and JSON.parse, timed in here: on each line of standard input one turn, or another reply.
// A line is {"feeds": [lengths], "file": path} (the reply from now on) or empty (a turn, answered with its CPU time and text).

import {readFileSync} from 'node:fs'
import {createInterface} from 'node:readline'
import {createParser} from 'eventsource-parser'

let feeds = []

function cut({file, feeds: lengths}) {
  const body = readFileSync(file)
  let start = 0
  feeds = lengths.map((length) => body.subarray(start, (start += length)))
}

function decode() {
  const texts = []
  const parser = createParser({
    onEvent({data}) {
      if (data === '[DONE]') return
      const content = JSON.parse(data).choices[0]?.delta.content
      if (content) texts.push(content)
    },
  })
  const characters = new TextDecoder()
  for (const feed of feeds) parser.feed(characters.decode(feed, {stream: true}))
  return texts
}

for await (const line of createInterface({input: process.stdin})) {
  if (line) {
    cut(JSON.parse(line))
    continue
  }
  const before = process.cpuUsage()
  const texts = decode()
  const {user, system} = process.cpuUsage(before)
  console.log(JSON.stringify({nanoseconds: (user + system) * 1000, text: texts.join('')}))
}
