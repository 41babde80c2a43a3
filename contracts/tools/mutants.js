#!/usr/bin/env node
// How many small faults in `src/marketplace` and `src/governance` the tests notice. `make mutants`.
//
//   FABSTIR_MUTANTS=300      how many, drawn with
//   FABSTIR_SEED=1           this seed
//   FABSTIR_ONLY=12,13       only these numbers of the draw
//   FABSTIR_MUTANT_JOBS=2    how many at a time
//
// All mutants are compiled at once, each behind a number (mutants/weave.js); a run of the tests switches one on by the
// block's coinbase, which needs no compilation. A mutant is killed when a test fails or does not end in time.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { forge } from "./forge.js";
import { pointsOf } from "./mutants/points.js";
import { astsOf, compilable, sourcesOf, write } from "./mutants/project.js";
import { draw, keyOf, table } from "./mutants/report.js";
import { coinbaseOf } from "./mutants/weave.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "out", "mutants");
const LEAST = 90; // per cent
const TIMEOUT = 300_000; // milliseconds for one run of tests
const number = (name, otherwise) => Number(process.env[name] ?? otherwise);

/** Tests to begin with: those of the contract. */
const FOLDERS = { JobMarketplace: "JobMarketplace", SessionMarketplace: "JobMarketplace", NodeRegistry: "NodeRegistry", PaymentEscrow: "PaymentEscrow", ReputationSystem: "Reputation", ProofSystem: "ProofSystem" };
const folderOf = ({ file, contract }) => (file.startsWith("src/governance") ? "Governance" : (FOLDERS[contract] ?? "JobMarketplace"));

/** Runs forge in the project of the mutants; gives how it ended: `passed`, `failed`, `slow` or, if it broke, its words. */
function run(args, coinbase) {
  return new Promise((resolve) => {
    const env = { ...process.env, FOUNDRY_BLOCK_COINBASE: coinbase };
    const child = spawn(forge, [...args, "--offline", "--root", target], { cwd: target, env, detached: true });
    let [words, slow] = ["", false];
    const timer = setTimeout(() => {
      slow = true;
      process.kill(-child.pid, "SIGKILL");
    }, TIMEOUT);
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (words += chunk));
    child.on("close", (code) => {
      clearTimeout(timer);
      if (slow) resolve("slow");
      else if (code === 0) resolve("passed");
      else resolve(/\[FAIL/.test(words) ? "failed" : words || `exit ${code}`);
    });
  });
}

async function judge(point) {
  const folder = `test/${folderOf(point)}/**`;
  for (const option of ["--match-path", "--no-match-path"]) {
    const outcome = await run(["test", "--fail-fast", "--threads", "1", option, folder], coinbaseOf(point.id));
    if (outcome === "failed" || outcome === "slow") return true;
    if (outcome !== "passed") throw new Error(`mutant ${point.id}: ${outcome}`);
  }
  return false;
}

const seed = number("FABSTIR_SEED", 1);
const sources = sourcesOf(root);
const asts = astsOf(root, sources);
const all = Object.entries(sources).flatMap(([file, source]) =>
  pointsOf(asts[file], source).map((point) => ({ ...point, file, original: source.slice(point.start, point.start + point.length) })),
);
const equivalent = new Map(JSON.parse(readFileSync(join(root, "tools/mutants/equivalent.json"), "utf8")).map((entry) => [keyOf(entry), entry]));
const wanted = draw(all, number("FABSTIR_MUTANTS", 300), seed).map((point, index) => ({ ...point, id: index + 1 }));
const points = compilable(root, sources, wanted);
console.log(`${all.length} places; ${wanted.length} drawn with seed ${seed}, ${points.length} compile`);
write(root, target, sources, points);
const built = await run(["build", "--quiet"], coinbaseOf(0));
if (built !== "passed") throw new Error(built);
const sound = await run(["test"], coinbaseOf(0));
if (sound !== "passed") throw new Error(`the tests fail without any mutant: ${sound}`);

const only = process.env.FABSTIR_ONLY?.split(",").map(Number);
const queue = points.filter((point) => (only ? only.includes(point.id) : !equivalent.has(keyOf(point))));
const excused = only ? [] : points.filter((point) => equivalent.has(keyOf(point)));
const [results, began] = [[], Date.now()];
async function worker() {
  for (let point = queue.shift(); point; point = queue.shift()) {
    const killed = await judge(point);
    results.push({ ...point, killed });
    if (!killed) console.log(`SURVIVED ${point.id}  ${point.file}:${point.line} ${point.contract}.${point.function} (${point.rule})\n  - ${point.original}\n  + ${point.mutant}`);
    if (results.length % 25 === 0) console.log(`${results.length} done, ${queue.length} to go, ${Math.round((Date.now() - began) / 1000)} s`);
  }
}
await Promise.all(Array.from({ length: number("FABSTIR_MUTANT_JOBS", 2) }, worker));

console.log(table(results, excused));
const killed = results.filter((result) => result.killed).length;
const score = (100 * killed) / results.length;
console.log(`${killed} of ${results.length} mutants killed: ${score.toFixed(1)} %; seed ${seed}, ${Math.round((Date.now() - began) / 1000)} s`);
if (!(score >= LEAST)) process.exit(1);
