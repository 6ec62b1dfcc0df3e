// @ts-check
// The parity report as it grows: what both ways brought to this page's people and to all
// others, by the receipts that their pages sent.

const every = 2000; // ms between two looks
const rest = 60000; // ms without an event after which nobody looks: the function may sleep

let until = performance.now() + 10000;

/** Something happened: there will be receipts. */
export function stir() {
  until = performance.now() + rest;
}

/** @param {HTMLElement} strip with an element for each figure, by data-parity */
export function watch(strip) {
  const put = (/** @type {string} */ name, /** @type {string} */ text) => {
    const e = strip.querySelector(`[data-parity="${name}"]`);
    if (e && e.textContent !== text) e.textContent = text;
  };
  const look = async () => {
    if (document.hidden || performance.now() > until) return;
    const answer = await fetch("parity.json").catch(() => null);
    if (!answer?.ok) return;
    const report = await answer.json();
    put("committed", String(report.messages));
    put("fetched", String(report.fetched));
    put("flips", String(report.flips));
    for (const [side, only] of [["pusher", report.only_pusher], ["supabase", report.only_supabase]]) {
      // What was only fetched is what a cut or Pusher has missed: it is on the screen, and not by this way.
      const brought = report.both + only - (side === "pusher" ? report.fetched : 0);
      const p50 = report[side].p50_ms;
      put(side, report.compared ? `${brought} of ${report.compared}` : "–");
      put(`${side}-p50`, p50 ? `p50 ${Math.round(p50)} ms` : "");
      const bar = /** @type {HTMLElement | null} */ (strip.querySelector(`.share[data-side="${side}"]`));
      bar?.style.setProperty("--share", String(report.compared ? brought / report.compared : 0));
    }
  };
  look();
  setInterval(look, every);
}
