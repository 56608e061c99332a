/** Do `work` now, and again `ms` after each time it ended. Returns how to stop: then nothing that was under way goes on to another. */
export function again(work, ms) {
  let timer
  let over = false
  const turn = async () => {
    await work()
    if (!over) timer = setTimeout(turn, ms)
  }
  turn()
  return () => {
    over = true
    clearTimeout(timer)
  }
}
