// @ts-check
// One person's network, which can be cut: what they send fails, what they listen to
// ends, and connecting again fails until it is back. The other people have their own.

const down = /** @type {Set<string>} */ (new Set()); // Authorization headers of whose is cut
const send = globalThis.fetch.bind(globalThis);

// roomcast.js and receipts.js call the page's fetch; the token tells for whom.
globalThis.fetch = async (/** @type {RequestInfo | URL} */ input, /** @type {RequestInit | undefined} */ init) => {
  const whose = /** @type {any} */ (init?.headers)?.Authorization;
  if (down.has(whose)) throw new TypeError("the network is cut");
  return send(input, init);
};

export class Network {
  /** @param {string} token @param {(left: number) => void} changed called with the seconds left, 0 when it is back */
  constructor(token, changed) {
    this.header = `Bearer ${token}`;
    this.changed = changed;
    const open = /** @type {Set<WebSocket>} */ (new Set());
    const isDown = () => this.isDown;
    this.open = open;
    this.left = 0; // seconds
    /** For supabase-js, which takes any WebSocket. pusher-js does not: see attach. */
    this.WebSocket = class extends WebSocket {
      /** @param {string} url @param {string | string[]} [protocols] */
      constructor(url, protocols) {
        super(url, protocols);
        open.add(this);
        this.addEventListener("close", () => open.delete(this));
        if (isDown()) this.close(); // as when nobody answers
      }
    };
  }

  /** @param {any} pusher */
  attach(pusher) {
    this.pusher = pusher;
    // Roomcast's client has it try again; nobody would answer.
    pusher.connection.bind("connecting", () => setTimeout(() => { if (this.isDown) pusher.disconnect(); }));
  }

  get isDown() {
    return down.has(this.header);
  }

  /** @param {number} seconds until it comes back by itself */
  cut(seconds) {
    down.add(this.header);
    this.pusher.disconnect();
    for (const socket of this.open) socket.close();
    this.left = seconds;
    this.changed(seconds);
    this.timer = setInterval(() => {
      this.left--;
      if (this.left > 0) this.changed(this.left);
      else this.restore();
    }, 1000);
  }

  restore() {
    clearInterval(this.timer);
    down.delete(this.header);
    this.pusher.connect();
    this.changed(0);
  }
}
