// @ts-check
// The figures in the page's head: events, median delay by each way, repeats, over all
// panes.

const delays = /** @type {Record<string, number[]>} */ ({ pusher: [], supabase: [] });
let events = 0;
let repeats = 0;
let draw = () => {};

export const figures = {
  /** @param {Document} page */
  show(page) {
    const put = (/** @type {string} */ id, /** @type {string} */ text) => {
      const e = page.getElementById(id);
      if (e) e.textContent = text;
    };
    draw = () => {
      put("events", String(events));
      put("repeats", String(repeats));
      for (const [side, all] of Object.entries(delays)) {
        const sorted = [...all].sort((a, b) => a - b);
        if (all.length) put(`median-${side}`, `${Math.round(sorted[sorted.length >> 1])} ms`);
      }
    };
  },

  /** Counts an event that arrived for the first time, by whichever way. */
  event() {
    events++;
    draw();
  },

  /** @param {string} side @param {number} delay in milliseconds */
  delay(side, delay) {
    delays[side].push(delay);
    if (delays[side].length > 1000) delays[side].shift();
    draw();
  },

  /** Counts an event that this pane had already by the same way; the screen shows it once. */
  repeat() {
    repeats++;
    draw();
  },
};
