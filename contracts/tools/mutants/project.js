// A Foundry project of its own with every mutant in it, and solc's opinion of each of them.
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { SWITCH, weave, withSwitch, withSwitchableModifiers } from "./weave.js";

const require = createRequire(import.meta.url);

/** What is mutated. */
export const SOURCES = ["src/marketplace", "src/governance"];
/** The tests that judge mutants: neither costs, sizes and layouts, nor campaigns, nor other contracts' tests. */
const TESTS = ["Governance", "Integration", "JobMarketplace", "NodeRegistry", "PaymentEscrow", "ProofSystem", "Reputation", "Security", "Setup", "attack", "support"];
const NOT_COPIED = /\/(account|verifiers|layouts)(\/|$)|test_gas_usage|test_project_structure/;
/** Libraries whose modifiers our contracts use. */
const LIBRARIES = [
  "node_modules/@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol",
  "node_modules/@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol",
];

const remappingsOf = (root) => /^remappings = \[\n([\s\S]*?)\n\]/m.exec(readFileSync(join(root, "foundry.toml"), "utf8"))[1];

export function sourcesOf(root) {
  const files = SOURCES.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => name.endsWith(".sol") && !name.startsWith("interfaces/"))
      .map((name) => `${folder}/${name}`),
  );
  return Object.fromEntries(files.sort().map((file) => [file, readFileSync(join(root, file), "utf8")]));
}

/** Runs solc; `sources` stand before what is on disk. */
function compile(root, sources, libraries, output) {
  const solc = require("solc");
  const remappings = [...remappingsOf(root).matchAll(/"([^"]+)"/g)].map((match) => match[1]);
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(Object.entries(sources).map(([path, content]) => [path, { content }])),
    settings: { remappings: [...remappings, "mutants/=mutants/"], evmVersion: "prague", outputSelection: { "*": output } },
  };
  const read = (path) => ({ contents: path === "mutants/Switch.sol" ? SWITCH : (libraries[path] ?? readFileSync(join(root, path), "utf8")) });
  return JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
}

export function astsOf(root, sources) {
  const { sources: parsed } = compile(root, sources, {}, { "": ["ast"] });
  return Object.fromEntries(Object.keys(sources).map((file) => [file, parsed[file].ast]));
}

const prepared = (text) => withSwitchableModifiers(withSwitch(text, "mutants/Switch.sol"));

function woven(sources, points) {
  return Object.fromEntries(
    Object.entries(sources).map(([file, text]) => [file, prepared(weave(text, points.filter((point) => point.file === file)))]),
  );
}

const librariesOf = (root) => Object.fromEntries(LIBRARIES.map((path) => [path, prepared(readFileSync(join(root, path), "utf8"))]));

/** The points that compile together. What solc complains about is left out: lines are those of the original. */
export function compilable(root, sources, points) {
  for (let left = points; ; ) {
    const texts = woven(sources, left);
    const { errors = [] } = compile(root, texts, librariesOf(root), { "*": ["evm.bytecode.object"] });
    const fatal = errors.filter((error) => error.severity === "error");
    if (fatal.length === 0) return left;
    const bad = new Set();
    for (const { sourceLocation, formattedMessage } of fatal) {
      const text = texts[sourceLocation?.file];
      if (!text) throw new Error(formattedMessage);
      const line = Buffer.from(text).subarray(0, sourceLocation.start).toString().split("\n").length;
      const here = left.filter((point) => point.file === sourceLocation.file && point.line === line);
      const around = left.filter((point) => point.file === sourceLocation.file && Math.abs(point.line - line) <= 12);
      if (here.length + around.length === 0) throw new Error(formattedMessage);
      for (const point of here.length > 0 ? here : around) bad.add(point.id);
    }
    left = left.filter((point) => !bad.has(point.id));
  }
}

/** Writes the project, compiled artifacts of before left in place. */
export function write(root, target, sources, points) {
  mkdirSync(target, { recursive: true });
  for (const part of ["src", "test", "mutants", "proofs", "node_modules"]) rmSync(join(target, part), { recursive: true, force: true });
  const put = (path, text) => {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    writeFileSync(join(target, path), text);
  };
  const copy = (path, filter = () => true) => cpSync(join(root, path), join(target, path), { recursive: true, filter });
  for (const part of [...SOURCES, "src/testing"]) copy(part);
  for (const part of TESTS.filter((name) => existsSync(join(root, "test", name)))) copy(`test/${part}`, (path) => !NOT_COPIED.test(path.slice(root.length)));
  copy("script/Artifacts.sol");
  copy("proofs/fixtures");
  // Artifacts that tests read: verifiers as they are deployed, and the ABIs.
  for (const name of ["TinyVerifier", "MlpVerifier", ...new Set(Object.keys(sources).map((file) => basename(file, ".sol")))]) copy(`out/${name}.sol`);
  copy("node_modules/@openzeppelin");
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name !== "@openzeppelin" && !name.startsWith(".")) symlinkSync(join(root, "node_modules", name), join(target, "node_modules", name));
  }
  for (const [file, text] of Object.entries({ ...woven(sources, points), ...librariesOf(root) })) put(file, text);
  put("mutants/Switch.sol", SWITCH);
  put("foundry.toml", `[profile.default]
src = "src"
test = "test"
out = "out/all"
libs = ["node_modules"]
auto_detect_remappings = false
remappings = [
${remappingsOf(root)}
  "mutants/=mutants/",
]
solc = "${join(root, "tools/solc")}"
offline = true
evm_version = "prague"
optimizer = false
bytecode_hash = "none"
cbor_metadata = false
code_size_limit = 10_000_000
fs_permissions = [{ access = "read", path = "./" }]
fuzz = { runs = 24, seed = "0x0fab5712" }
`);
}
