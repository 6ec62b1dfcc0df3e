// @ts-check
// The figures in the page's head: events, median delay, repeats, over all panes.

const delays = /** @type {number[]} */ ([]);
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
      if (delays.length) {
        const sorted = [...delays].sort((a, b) => a - b);
        put("median", `${Math.round(sorted[sorted.length >> 1])} ms`);
      }
    };
  },

  /** Counts an event that arrived for the first time. @param {number} delay in milliseconds */
  event(delay) {
    events++;
    delays.push(delay);
    if (delays.length > 1000) delays.shift();
    draw();
  },

  /** Counts an event that this pane had already: Pusher got it twice, the screen shows it once. */
  repeat() {
    repeats++;
    draw();
  },
};
