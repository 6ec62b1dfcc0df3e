// A change may come by both sides, Pusher and Supabase, in any order: both share one entry.

import type { Entry, Feed } from './feed.js'

/** The entry that an event by Pusher shares with one by Supabase. */
export function pairFor(feed: Feed, name: string, data: any): Entry | undefined {
  return like(feed, name, data).find((entry) => !entry.pusher)
}

/**
 * The entry for an event by Supabase; undefined for a repeat. Only another stream
 * repeats: in one stream equal events of one transaction are changes of their own.
 */
export function bySupabase(feed: Feed, name: string, data: any, commit: string, stream: number): Entry | undefined {
  const alike = like(feed, name, data)
  if (alike.some((e) => e.commit === commit && e.stream !== undefined && e.stream !== stream)) return
  const entry = alike.find((e) => !e.supabase) ?? feed.add(name, data)
  return Object.assign(entry, { supabase: true, commit, stream })
}

function like({ entries, key }: Feed, name: string, data: any) {
  const id = key(data)
  return entries.filter((e) => e.name === name && e.id === id && (name !== 'message-updated' || isSame(e.data, data)))
}

// In what both have; the two write times differently.
function isSame(a: any, b: any) {
  const text = (v: any) => typeof v === 'string' && /^\d{4}-\d\d-\d\d[ T]/.test(v) ? +new Date(v) : JSON.stringify(v)
  return Object.keys(a).every((k) => !(k in b) || text(a[k]) === text(b[k]))
}
