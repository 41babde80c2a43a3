// Drawing mutants by a seed, and what came of them.

/** A generator of numbers in [0, 1): mulberry32. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` of `points`, in the order of the files; the same for the same seed. */
export function draw(points, count, seed) {
  const next = random(seed);
  const order = points.map((point, index) => [next(), index]).sort(([a], [b]) => a - b);
  return order.slice(0, count).map(([, index]) => index).sort((a, b) => a - b).map((index) => points[index]);
}

const plain = (text) => text.replace(/\s+/g, " ").trim();

/** What names a mutant in `equivalent.json`: lines move, these do not. */
export const keyOf = ({ contract, function: name, original, mutant }) => JSON.stringify([contract, name, plain(original), plain(mutant)]);

export function table(results, equivalent) {
  const contracts = [...new Set([...results, ...equivalent].map((point) => point.contract))].sort();
  const rows = contracts.map((contract) => {
    const mine = results.filter((point) => point.contract === contract);
    const killed = mine.filter((point) => point.killed).length;
    const same = equivalent.filter((point) => point.contract === contract).length;
    return `${contract.padEnd(24)}${[mine.length + same, killed, mine.length - killed, same].map((n) => String(n).padStart(12)).join("")}`;
  });
  return [`${"contract".padEnd(24)}${["mutants", "killed", "survived", "equivalent"].map((n) => n.padStart(12)).join("")}`, ...rows].join("\n");
}
