#!/usr/bin/env node
// How many small faults in `src/marketplace` and `src/governance` the tests notice. `make mutants`.
//
//   FABSTIR_MUTANTS=300      how many (`all` for all), drawn with
//   FABSTIR_SEED=1           this seed
//   FABSTIR_ONLY=12,13       only these numbers of the draw
//   FABSTIR_MUTANT_JOBS=2    how many at a time
//
// Mutants are compiled many at once, each behind a number (mutants/weave.js); a run of the tests switches one on by the
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
const BATCH = 300; // compiled together: more of them cost the contracts more gas than some tests give
const TIMEOUT = 300_000; // milliseconds for one run of tests
const number = (name, otherwise) => Number(process.env[name] ?? otherwise);

/** Tests to begin with: those of the contract. */
const FOLDERS = { JobMarketplace: "JobMarketplace", SessionMarketplace: "JobMarketplace", NodeRegistry: "NodeRegistry", PaymentEscrow: "PaymentEscrow", ReputationSystem: "Reputation", ProofSystem: "ProofSystem" };
const folderOf = ({ file, contract }) => (file.startsWith("src/governance") ? "Governance" : (FOLDERS[contract] ?? "JobMarketplace"));

/** Runs forge in the project of the mutants; gives how it ended: `passed`, `failed` (or, if asked for, what of its words
 * says why), `slow` or, if it broke, its words. */
function run(args, coinbase, why) {
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
      else if (/\[FAIL/.test(words)) resolve(why ? words.match(why).join("\n") : "failed");
      else resolve(words || `exit ${code}`);
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
const count = process.env.FABSTIR_MUTANTS === "all" ? all.length : number("FABSTIR_MUTANTS", 300);
const wanted = draw(all, count, seed).map((point, index) => ({ ...point, id: index + 1 }));
console.log(`${all.length} places; ${wanted.length} drawn with seed ${seed}`);

const only = process.env.FABSTIR_ONLY?.split(",").map(Number);
const [results, excused, began] = [[], [], Date.now()];

/** Compiles these together and judges each. */
async function judgeAll(batch) {
  const points = compilable(root, sources, batch);
  write(root, target, sources, points);
  const built = await run(["build", "--quiet"], coinbaseOf(0));
  if (built !== "passed") throw new Error(built);
  const sound = await run(["test"], coinbaseOf(0), /^\[FAIL.*$/gm);
  if (sound !== "passed") throw new Error(`the tests fail without any mutant: ${sound}`);
  console.log(`${points.length} of the next ${batch.length} compile`);

  const queue = points.filter((point) => (only ? only.includes(point.id) : !equivalent.has(keyOf(point))));
  if (!only) excused.push(...points.filter((point) => equivalent.has(keyOf(point))));
  async function worker() {
    for (let point = queue.shift(); point; point = queue.shift()) {
      const killed = await judge(point);
      results.push({ ...point, killed });
      if (!killed) console.log(`SURVIVED ${point.id}  ${point.file}:${point.line} ${point.contract}.${point.function} (${point.rule})\n  - ${point.original}\n  + ${point.mutant}`);
      if (results.length % 25 === 0) console.log(`${results.length} done, ${Math.round((Date.now() - began) / 1000)} s`);
    }
  }
  await Promise.all(Array.from({ length: number("FABSTIR_MUTANT_JOBS", 2) }, worker));
}

const batches = Math.ceil(wanted.length / BATCH);
for (let n = 0; n < batches; ++n) {
  // Spread over all sources: each of them becomes a little slower, none much.
  const batch = wanted.filter((_, index) => index % batches === n);
  if (!only || batch.some((point) => only.includes(point.id))) await judgeAll(batch);
}

console.log(table(results, excused));
const killed = results.filter((result) => result.killed).length;
const score = (100 * killed) / results.length;
console.log(`${killed} of ${results.length} mutants killed: ${score.toFixed(1)} %; seed ${seed}, ${Math.round((Date.now() - began) / 1000)} s`);
if (!(score >= LEAST)) process.exit(1);
