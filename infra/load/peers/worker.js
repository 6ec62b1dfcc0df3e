// The Express worker that Roomcast is measured beside: what a team would write in
// an afternoon with express and the official pusher library, and written well:
// sockets to Pusher kept alive, one pool of database connections as large as the
// function's, keys of the project fetched once.
"use strict"

const { createPublicKey } = require("node:crypto")
const http = require("node:http")
const express = require("express")
const jwt = require("jsonwebtoken")
const { Pool } = require("pg")
const Pusher = require("pusher")

const env = process.env
const [host, port] = env.PUSHER_HOST.split(":")
const pusher = new Pusher({
  appId: env.PUSHER_APP_ID, key: env.PUSHER_KEY, secret: env.PUSHER_SECRET,
  host, port, useTLS: false,
  agent: new http.Agent({ keepAlive: true }), // without it: a new connection for each event
})
const pool = env.DATABASE_URL ? new Pool({ connectionString: env.DATABASE_URL, max: 10 }) : null
const issuer = env.SUPABASE_URL + "/auth/v1"

// keys are the project's public keys by kid.
async function keys() {
  const answer = await fetch(issuer + "/.well-known/jwks.json")
  const set = (await answer.json()).keys
  return new Map(set.map((jwk) => [jwk.kid, createPublicKey({ key: jwk, format: "jwk" })]))
}

function bearer(req) {
  return (req.headers.authorization || "").replace(/^Bearer /, "")
}

const app = express()
app.disable("x-powered-by")

app.get("/healthz", (req, res) => res.sendStatus(200))

app.post("/webhooks/supabase", express.json(), async (req, res) => {
  if (bearer(req) !== env.WEBHOOK_SECRET) return res.sendStatus(401)
  const { type, record } = req.body
  if (type !== "INSERT") return res.sendStatus(204)
  await pusher.trigger("private-room-" + record.room_id, "new-message", record)
  res.sendStatus(200)
})

const roomChannel = /^private-room-([0-9a-f-]{36})$/

app.post("/pusher/auth", express.urlencoded({ extended: false }), async (req, res) => {
  let user
  try {
    const key = (header, found) => found(null, app.locals.keys.get(header.kid))
    user = await new Promise((resolve, reject) =>
      jwt.verify(bearer(req), key, { algorithms: ["ES256"], issuer, audience: "authenticated" },
        (err, claims) => (err ? reject(err) : resolve(claims))))
  } catch {
    return res.sendStatus(401)
  }
  const { socket_id: socket, channel_name: channel } = req.body
  const [, room] = roomChannel.exec(channel) || []
  if (!room) return res.sendStatus(403)
  const found = await pool.query({
    name: "member", // prepared once per connection
    text: "select 1 from public.room_participants where room_id = $1 and user_id = $2",
    values: [room, user.sub],
  })
  if (found.rowCount === 0) return res.sendStatus(403)
  res.json(pusher.authorizeChannel(socket, channel))
})

async function main() {
  if (pool) app.locals.keys = await keys()
  app.listen(Number(env.PORT), "127.0.0.1")
}

main()
