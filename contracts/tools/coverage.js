// What the tests reach of `src/marketplace` and `src/governance`: fails unless it is every line, branch and function. Run after `forge coverage`.
import { readFileSync } from "node:fs";

const missed = [];
const totals = { lines: [0, 0], branches: [0, 0], functions: [0, 0] };
const kinds = { L: "lines", BR: "branches", FN: "functions" };
for (const record of readFileSync("lcov.info", "utf8").split("end_of_record")) {
  const file = /^SF:(.*)$/m.exec(record)?.[1];
  if (!/src\/(marketplace|governance)\//.test(file ?? "")) continue;
  for (const [letter, kind] of Object.entries(kinds)) {
    const count = (suffix) => Number(new RegExp(`^${letter}${suffix}:(\\d+)$`, "m").exec(record)?.[1] ?? 0);
    const [found, hit] = [count("F"), count("H")];
    totals[kind][0] += hit;
    totals[kind][1] += found;
    if (hit < found) missed.push(`${file}: ${hit} of ${found} ${kind}`);
  }
}
for (const [kind, [hit, found]] of Object.entries(totals)) console.log(`${hit} of ${found} ${kind}`);
if (totals.lines[1] === 0) missed.push("no coverage in lcov.info");
if (missed.length > 0) {
  console.error(missed.join("\n"));
  process.exit(1);
}
