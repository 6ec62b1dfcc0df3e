// @ts-check

/**
 * Makes an element. Children are elements or texts; a text is never read as markup.
 * @param {string} tag
 * @param {Record<string, any>} [props] properties, "data-…" attributes, "on…" listeners
 * @param {...(Node | string | null)} children
 */
export function el(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name.includes("-")) e.setAttribute(name, value);
    else /** @type {any} */ (e)[name] = value;
  }
  e.append(...children.filter((c) => c !== null));
  return e;
}

/** An outline icon on a 24 by 24 grid. @param {string} path */
export function icon(path) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const p = document.createElementNS(ns, "path");
  p.setAttribute("d", path);
  svg.append(p);
  return svg;
}

/**
 * Makes list's children be those given, leaving alone the ones that are in their
 * place: an element put in again would lose its focus and repeat its animation.
 * @param {Element} list @param {Element[]} wanted
 */
export function replace(list, wanted) {
  wanted.forEach((e, i) => {
    if (list.children[i] !== e) list.insertBefore(e, list.children[i] ?? null);
  });
  while (list.children.length > wanted.length) list.lastElementChild?.remove();
}
