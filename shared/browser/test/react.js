// As much of React as a hook needs to be run in Node: state, and effects that strict mode
// runs twice. No rendering: a component is a function, and its value what it returns.
let current

export function useState(initial) {
  const it = current, i = it.next++
  it.states[i] ??= { value: initial }
  return [it.states[i].value, (to) => {
    it.states[i].value = typeof to === 'function' ? to(it.states[i].value) : to
    it.render()
  }]
}

export function useEffect(effect, needs) {
  const it = current, i = it.next++, old = it.states[i]
  if (old && needs.every((need, n) => Object.is(need, old.needs[n]))) return
  it.states[i] = { needs }
  it.due.push(() => {
    old?.clean?.()
    it.states[i].clean = effect()
    if (!old) it.states[i].clean(), it.states[i].clean = effect() // strict mode, at the first time
  })
}

/** Shows a component: `value` is what it returned last; `until` waits for one that fits. */
export function mount(component) {
  const waiting = new Set()
  const it = {
    states: [], due: [], value: undefined,
    render() {
      Object.assign(it, { next: 0, due: [] })
      current = it
      it.value = component()
      it.due.forEach((run) => run())
      waiting.forEach((check) => check())
    },
    until: (fits) => new Promise((done) => {
      const check = () => { if (fits(it.value)) waiting.delete(check), done(it.value) }
      waiting.add(check)
      check()
    }),
    unmount: () => it.states.forEach((state) => state.clean?.()),
  }
  it.render()
  return it
}
