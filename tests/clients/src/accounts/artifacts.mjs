// Creation code of real accounts, out of the packages that ship it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const packages = new URL("../../node_modules/", import.meta.url);
const read = (path) => readFileSync(new URL(path, packages), "utf8");

/** Of a Hardhat artifact. */
export const artifact = (path) => JSON.parse(read(path)).bytecode;

/** A constant of a Solidity file that holds nothing but compiled contracts. */
export function constant(path, name) {
  const found = new RegExp(`constant ${name} =\\s*hex"([0-9a-f]+)"`).exec(read(path));
  if (!found) throw new Error(`${path} has no ${name}`);
  return `0x${found[1]}`;
}

/** thirdweb's factories are all in one file; each class reads the `_bytecode` that stands before it. */
export function thirdweb(name) {
  const text = read("@thirdweb-dev/contracts-js/dist/thirdweb-dev-contracts-js.esm.js");
  const end = text.search(new RegExp(`class ${name}__factory `));
  const codes = [...text.slice(0, end).matchAll(/_bytecode\S* = "(0x[0-9a-f]+)"/g)];
  return codes.at(-1)[1];
}

/** Compiles these files of ours, with what they import from packages; a second or two each. */
export function compile(...files) {
  const solc = require("solc");
  const sources = Object.fromEntries(files.map((file) => [file, { content: readFileSync(new URL(file, import.meta.url), "utf8") }]));
  const settings = { evmVersion: "cancun", optimizer: { enabled: true, runs: 200 }, outputSelection: { "*": { "*": ["evm.bytecode.object"] } } };
  const find = (path) => ({ contents: read(path.replace("solady/", "solady-v0/src/")) });
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings }), { import: find }));
  const wrong = errors.filter(({ severity }) => severity === "error");
  if (wrong.length > 0) throw new Error(wrong.map(({ formattedMessage }) => formattedMessage).join("\n"));
  return Object.assign({}, ...Object.values(contracts).map((file) => Object.fromEntries(Object.entries(file).map(([name, { evm }]) => [name, `0x${evm.bytecode.object}`]))));
}
