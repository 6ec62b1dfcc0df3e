// The pages where there is no Chromium: all in one process of Node. What they show goes to
// standard output, a JSON value a line; what is written to the room by a page's user comes
// in by standard input, as {page, id}. page.js stands before this.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const { browser, pages } = JSON.parse(process.env.PAGES)
const Pusher = createRequire(browser + '/package.json')('pusher-js')
const { createRoomcast } = await import(pathToFileURL(browser + '/roomcast.js').href)
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n')
const opened = pages.map((page) => openPage({ ...page, Pusher, createRoomcast, say }))

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { page, id } = JSON.parse(line)
    opened[page].expect(id)
  })
  .on('close', () => {
    opened.forEach((page) => page.close())
    process.exit()
  })
