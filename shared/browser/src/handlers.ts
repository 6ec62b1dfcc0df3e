// An app's functions by event name.

import { callApp } from './platform.js'

type Handler = (data: any, name: string, more?: any) => void

export class Handlers {
  private list = new Set<{ name: string; fn: Handler }>()

  add(name: string, fn: Handler): () => void {
    const handler = { name, fn }
    this.list.add(handler)
    return () => void this.list.delete(handler)
  }

  names() {
    return new Set([...this.list].map((handler) => handler.name))
  }

  /** Calls those of this name, and of '*'; one that was removed by another is not called. */
  emit(name: string, data?: any) {
    this.call([name, '*'], data, name)
  }

  /** Calls those of this name only. */
  signal(name: string, data: any, more?: any) {
    this.call([name], data, name, more)
  }

  clear() {
    this.list.clear()
  }

  private call(names: string[], data: any, name: string, more?: any) {
    for (const handler of [...this.list]) {
      if (names.includes(handler.name) && this.list.has(handler)) callApp(() => handler.fn(data, name, more))
    }
  }
}
