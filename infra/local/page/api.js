// @ts-check

/** The chat's own API, as one user. */
export class Api {
  /** @param {string} token */
  constructor(token) {
    this.token = token;
  }

  /** @param {string} path */
  get(path) {
    return this.send("GET", path);
  }

  /** @param {string} method @param {string} path @param {object} [body] */
  async send(method, path, body) {
    const response = await fetch(path, {
      method,
      headers: {
        Authorization: `Bearer ${this.token}`,
        ...(body && { "Content-Type": "application/json" }),
      },
      body: body && JSON.stringify(body),
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(answer.reason ?? answer.error ?? `status ${response.status}`);
    return answer;
  }
}
