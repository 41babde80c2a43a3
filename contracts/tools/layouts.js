#!/usr/bin/env node
// Compares the storage layouts of the marketplace with those in `layouts/`, or writes them with `--write`.
// A difference is a failure: an upgrade would read old storage wrongly. Fields may only be added where there is room.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { forge } from "./forge.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const names = ["Governed", "NodeRegistry", "JobMarketplace", "SessionMarketplace", "ReputationSystem", "ProofSystem"];
const targets = Object.fromEntries(names.map((name) => [name, `${name}Layout`]));
targets.PaymentEscrow = "PaymentEscrow";

// An output of its own: the artifacts that everything else uses stay as they are.
const sources = ["test/support/layouts", "src/marketplace/PaymentEscrow.sol"];
const options = ["--offline", "--extra-output", "storageLayout", "--out", "out/layouts", "--cache-path", "cache/layouts"];
execFileSync(forge, ["build", ...options, ...sources], { cwd: root });

// `t_struct(Lock)1234_storage`: the number changes whenever any source does.
const plain = (type) => type.replace(/\)\d+(_storage)?/g, ")");

function fields(list, types) {
  return list.map(({ label, slot, offset, type }) => `${slot}+${offset} ${label}: ${types[type].label}`);
}

function layoutOf(contract) {
  const artifact = readFileSync(join(root, "out", "layouts", `${contract}.sol`, `${contract}.json`), "utf8");
  const { storage, types } = JSON.parse(artifact).storageLayout;
  const structs = {};
  for (const [id, type] of Object.entries(types ?? {})) {
    if (type.members) structs[plain(id)] = { bytes: type.numberOfBytes, fields: fields(type.members, types) };
  }
  const sorted = Object.fromEntries(Object.entries(structs).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { storage: fields(storage, types), structs: sorted };
}

const write = process.argv.includes("--write");
let failed = false;
for (const [name, contract] of Object.entries(targets)) {
  const file = join(root, "layouts", `${name}.json`);
  const actual = `${JSON.stringify(layoutOf(contract), null, 2)}\n`;
  if (write) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, actual);
  } else if (!existsSync(file) || readFileSync(file, "utf8") !== actual) {
    console.error(`${name}: the storage layout is not the one in layouts/${name}.json. Now it is:\n${actual}`);
    failed = true;
  }
}
if (failed) process.exit(1);
console.log(write ? "layouts written" : "layouts unchanged");
