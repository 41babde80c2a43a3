#!/usr/bin/env node
// Source verification of a deployment.
//
//   verify.js bundle DEPLOYMENT FOLDER    for each contract: standard JSON input, constructor arguments, salt, address
//   verify.js check NODE_URL FOLDER [NAME …]    recompiles each bundle and compares it with what is on the chain
//
// A bundle's `input` is what Etherscan, Blockscout and Sourcify take. It is made from the artifact's own metadata, and
// what its sources have become since fails here. The check holds two things against the chain: that compiler output and
// arguments make the contract's CREATE2 address, and that the code there is, to the byte and with all immutables, what the
// init code leaves when the node runs it anew.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const { keccak256 } = require("js-sha3");
const root = join(dirname(fileURLToPath(import.meta.url)), "..");

const CREATE2_DEPLOYER = "0x4e59b44847b379578588920ca78fbf26c0b4956c";
// In place of the CREATE2 deployer, for one call: takes an address, a salt and init code, creates with the latter two and
// returns the code that is then at the address.
const CREATE_AND_TELL = "0x365f5f376020516040360360405ff5505f51803b805f5f843c5ff3";
const GAS = "0xf42400";

const bytes = (hex) => Buffer.from(hex.replace(/^0x/, ""), "hex");
const hash = (hex) => keccak256(bytes(hex));
const plain = (hex) => hex.replace(/^0x/, "").toLowerCase();

function create2(salt, initCode) {
  return `0x${hash(`ff${plain(CREATE2_DEPLOYER)}${plain(salt)}${hash(initCode)}`).slice(24)}`;
}

// What a contract creates first: keccak(rlp([address, 1])).
const firstCreated = (address) => `0x${hash(`d694${plain(address)}01`).slice(24)}`;

// EntryPoints are not ours: their packages have them compiled.
function published(contract) {
  const version = contract.name.replace("EntryPoint v0.", "v0");
  const artifact = join(root, "node_modules", `account-abstraction-${version}`, "artifacts", "EntryPoint.json");
  return { bytecode: JSON.parse(readFileSync(artifact, "utf8")).bytecode };
}

function standardJson(artifact) {
  const path = join(root, "out", `${artifact}.sol`, `${artifact}.json`);
  const { metadata } = JSON.parse(readFileSync(path, "utf8"));
  const { compilationTarget, ...settings } = metadata.settings;
  const sources = {};
  for (const [file, { keccak256: expected }] of Object.entries(metadata.sources)) {
    const content = readFileSync(join(root, file), "utf8");
    if (`0x${keccak256(content)}` !== expected) throw new Error(`${file} is not what ${artifact} was compiled from`);
    sources[file] = { content };
  }
  const [[file, contract]] = Object.entries(compilationTarget);
  settings.outputSelection = { [file]: { [contract]: ["evm.bytecode.object"] } };
  return { contract: `${file}:${contract}`, compiler: metadata.compiler.version, input: { language: "Solidity", sources, settings } };
}

function bundle(deployment, folder) {
  const { contracts, governance } = JSON.parse(readFileSync(deployment, "utf8"));
  mkdirSync(folder, { recursive: true });
  const guardian = contracts.find(({ name }) => name === "Guardian");
  // Made by the guardian's constructor, from the same sources.
  const breaker = { ...guardian, name: "CircuitBreaker", creator: guardian.address, address: governance.circuitBreaker };
  for (const contract of [...contracts, breaker]) {
    const code = contract.artifact === "EntryPoint" ? published(contract) : standardJson(contract.artifact);
    const file = join(folder, `${contract.name.replaceAll(" ", "-")}.json`);
    writeFileSync(file, `${JSON.stringify({ ...contract, ...code }, null, 2)}\n`);
  }
  console.log(`${contracts.length + 1} bundles in ${folder}`);
}

// The same sources make several contracts.
const compiled = new Map();

function creationCode({ bytecode, contract, compiler, input }) {
  if (bytecode) return bytecode;
  if (!compiled.has(contract)) {
    const solc = require("solc");
    if (!solc.version().startsWith(compiler)) throw new Error(`compiled with ${compiler}; this is ${solc.version()}`);
    const output = JSON.parse(solc.compile(JSON.stringify(input)));
    const failure = output.errors?.find(({ severity }) => severity === "error");
    if (failure) throw new Error(failure.formattedMessage);
    const [file, name] = contract.split(":");
    compiled.set(contract, `0x${output.contracts[file][name].evm.bytecode.object}`);
  }
  return compiled.get(contract);
}

async function ask(url, method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  const { result, error } = await response.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

async function verify(url, bundled) {
  const initCode = `${creationCode(bundled)}${plain(bundled.arguments)}`;
  const created = create2(bundled.salt, initCode);
  if (created !== (bundled.creator ?? bundled.address).toLowerCase()) {
    throw new Error(`these sources and arguments make ${created}`);
  }
  if (bundled.creator && firstCreated(created) !== bundled.address.toLowerCase()) {
    throw new Error(`it is not what ${created} creates`);
  }
  const found = await ask(url, "eth_getCode", [bundled.address, "latest"]);
  if (found === "0x") throw new Error("there is no code");
  const nothing = { code: "0x", nonce: "0x0", balance: "0x0", state: {} };
  const pretended = {
    [created]: nothing,
    [firstCreated(created)]: nothing,
    [CREATE2_DEPLOYER]: { code: CREATE_AND_TELL },
  };
  const data = `0x${plain(bundled.address).padStart(64, "0")}${plain(bundled.salt)}${plain(initCode)}`;
  const left = await ask(url, "eth_call", [{ to: CREATE2_DEPLOYER, data, gas: GAS }, "latest", pretended]);
  if (left === "0x") throw new Error("its init code cannot be run now");
  const [expected, actual] = [bytes(left), bytes(found)];
  if (expected.equals(actual)) return actual.length;
  if (expected.length !== actual.length) throw new Error(`${actual.length} bytes of code, not ${expected.length}`);
  throw new Error(`the code differs from byte ${expected.findIndex((byte, at) => byte !== actual[at])} on`);
}

async function check(url, folder, names) {
  const bundles = readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")));
  const chosen = bundles.filter(({ name }) => names.length === 0 || names.includes(name));
  const missing = names.filter((name) => chosen.every((bundled) => bundled.name !== name));
  if (missing.length > 0 || chosen.length === 0) throw new Error(`no bundle of ${missing.join(", ") || "anything"}`);
  let failed = 0;
  for (const bundled of chosen) {
    try {
      const size = await verify(url, bundled);
      const how = bundled.bytecode ? "the published bytecode" : bundled.contract;
      console.log(`ok       ${bundled.name} at ${bundled.address}: ${size} bytes of ${how}`);
    } catch (error) {
      console.log(`FAILURE  ${bundled.name} at ${bundled.address}: ${error.message}`);
      failed += 1;
    }
  }
  console.log(`${chosen.length - failed} of ${chosen.length} verified`);
  if (failed > 0) process.exitCode = 1;
}

const [command, ...rest] = process.argv.slice(2);
if (command === "bundle" && rest.length === 2) bundle(...rest);
else if (command === "check" && rest.length >= 2) await check(rest[0], rest[1], rest.slice(2));
else {
  console.error("verify.js bundle DEPLOYMENT FOLDER | verify.js check NODE_URL FOLDER [NAME …]");
  process.exit(2);
}
