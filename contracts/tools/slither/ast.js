#!/usr/bin/env node
// Prints what Slither wants to know of `src`, in the form of solc's output: ASTs and ABIs. No code is generated: that is
// what takes solc's time, and no detector looks at it.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");
const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const config = readFileSync(join(root, "foundry.toml"), "utf8");
const remappings = [.../^remappings = \[\n([\s\S]*?)\n\]/m.exec(config)[1].matchAll(/"([^"]+)"/g)].map((match) => match[1]);
const files = readdirSync(join(root, "src"), { recursive: true }).filter((name) => name.endsWith(".sol")).sort();

const input = {
  language: "Solidity",
  sources: Object.fromEntries(files.map((name) => [`src/${name}`, { content: readFileSync(join(root, "src", name), "utf8") }])),
  settings: { remappings, evmVersion: "prague", outputSelection: { "*": { "": ["ast"], "*": ["abi", "userdoc", "devdoc"] } } },
};
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: (path) => ({ contents: readFileSync(join(root, path), "utf8") }) }));
const errors = (output.errors ?? []).filter((error) => error.severity === "error");
if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));

const none = { object: "", opcodes: "", sourceMap: "", linkReferences: {} };
for (const contracts of Object.values(output.contracts)) {
  for (const contract of Object.values(contracts)) contract.evm = { bytecode: none, deployedBytecode: none, methodIdentifiers: {} };
}
process.stdout.write(JSON.stringify({ version: solc.version(), sources: output.sources, contracts: output.contracts }));
