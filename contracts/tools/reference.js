#!/usr/bin/env node
// The contract reference, `docs/contracts.md`, from the NatSpec of what is deployed, and `docs/addresses.md` from the
// committed deployment. Compares, or writes with `--write`.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const { keccak256 } = createRequire(import.meta.url)("js-sha3");
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const docs = join(root, "..", "docs");

// Each with the interface that documents it, where there is one.
const groups = {
  Marketplace: [
    ["JobMarketplace", "IJobMarketplace"],
    ["SessionMarketplace", "ISessionMarketplace"],
    ["NodeRegistry", "INodeRegistry"],
    ["PaymentEscrow", "IPaymentEscrow"],
    ["ReputationSystem", "IReputationSystem"],
    ["ProofSystem", "IEzklProofs", "IProofSystem"],
    ["SignatureVerifier", "ISignatureVerifier"],
  ],
  Accounts: [["SmartAccount", "ISmartAccount", "ISessionKeys"], ["SmartAccountFactory", "ISmartAccountFactory"], ["SpendRouter"]],
  Paymasters: [
    ["VerifyingPaymaster", "IVerifyingPaymaster", "IPaymasterBase", "ISignerSet"],
    ["VerifyingPaymasterV06", "IVerifyingPaymasterV06", "IPaymasterBase", "ISignerSet"],
    ["TokenPaymaster", "ITokenPaymasterBase", "IPaymasterBase", "ISignerSet"],
    ["TokenPaymasterV06", "ITokenPaymasterBase", "IPaymasterBase", "ISignerSet"],
  ],
  Governance: [["FabToken"], ["FabGovernor"], ["FabTimelock"], ["ParameterStore"], ["Guardian"], ["CircuitBreaker"]],
};

const metadata = (name) => JSON.parse(JSON.parse(readFileSync(join(root, "out", `${name}.sol`, `${name}.json`), "utf8")).rawMetadata).output;

const type = (input) => (input.type.startsWith("tuple") ? `(${input.components.map(type).join(",")})${input.type.slice(5)}` : input.type);
const signature = ({ name, inputs }) => `${name}(${inputs.map(type).join(",")})`;
// As it reads: structs by their names.
const readable = ({ name, inputs }) => `${name}(${inputs.map((input) => [input.internalType.replace(/^(struct|enum|contract) /, ""), input.name].join(" ").trim()).join(", ")})`;
const line = (text) => (text ?? "").replace(/\s+/g, " ").trim();

function documented(docs, kind, sig) {
  for (const { userdoc, devdoc } of docs) {
    const of = (doc) => (Array.isArray(doc?.[kind]?.[sig]) ? doc[kind][sig][0] : doc?.[kind]?.[sig]) ?? {};
    const [notice, dev] = [of(userdoc), of(devdoc)];
    const variable = devdoc?.stateVariables?.[sig.split("(")[0]];
    const text = line([notice.notice, dev.details].filter(Boolean).join(" ") || variable?.details);
    if (text || dev.params || dev.returns) return { text, params: dev.params ?? {}, returns: dev.returns ?? variable?.returns ?? {} };
  }
  return { text: "", params: {}, returns: {} };
}

function entry(docs, kind, item) {
  const sig = signature(item);
  const { text, params, returns } = documented(docs, kind, sig);
  const mark = kind === "errors" ? ` \`0x${keccak256(sig).slice(0, 8)}\`` : "";
  const lines = [`- \`${readable(item)}\`${mark}${item.stateMutability === "payable" ? " payable" : ""}${text ? `: ${text}` : ""}`];
  for (const [name, about] of Object.entries(params)) lines.push(`  - \`${name}\`: ${line(about)}`);
  for (const [name, about] of Object.entries(returns)) lines.push(`  - returns ${/^_\d+$/.test(name) ? "" : `\`${name}\`: `}${line(about)}`);
  return lines.join("\n");
}

function contract([name, ...interfaces]) {
  const own = metadata(name);
  const docs = [...interfaces.map(metadata), own];
  const text = line([own.userdoc.notice, own.devdoc.details].filter(Boolean).join(" ")) || line(docs[0].userdoc.notice);
  const parts = [`### ${name}\n\n${text}`];
  const section = (title, kind, list) => {
    const sorted = list.sort((a, b) => (signature(a) < signature(b) ? -1 : 1));
    if (sorted.length > 0) parts.push(`**${title}**\n\n${sorted.map((item) => entry(docs, kind, item)).join("\n")}`);
  };
  const functions = own.abi.filter((item) => item.type === "function");
  const reads = ({ stateMutability }) => stateMutability === "view" || stateMutability === "pure";
  section("Calls", "methods", functions.filter((item) => !reads(item)));
  section("Views", "methods", functions.filter(reads));
  section("Events", "events", own.abi.filter((item) => item.type === "event"));
  section("Errors", "errors", own.abi.filter((item) => item.type === "error"));
  return parts.join("\n\n");
}

const body = Object.entries(groups).map(([title, list]) => `## ${title}\n\n${list.map(contract).join("\n\n")}`);
const head = "# Contract reference\n\nMade from the contracts' NatSpec; `make reference` makes it anew. Amounts are base units, times Unix seconds, unless said\notherwise. Selectors are given for errors.";

const { contracts, governance } = JSON.parse(readFileSync(join(root, "..", "deploy", "addresses", "local.json"), "utf8"));
const addresses = `# Addresses

Made from \`deploy/addresses/local.json\`, which \`fabstir deploy\` writes on a local chain with anvil's first key as deployer and its
third as the paymasters' signer; \`make reference\` makes it anew. They follow from code, deployer and signer: on Base, with
other keys, they are others, but the same on Base and Base Sepolia. Only the guardian's and its circuit breaker's
(\`${governance.circuitBreaker}\`) follow the chain's token too; EntryPoint v0.9 is a release candidate here.

| Contract | Address |
|---|---|
${contracts.map(({ name, address }) => `| ${name} | \`${address}\` |`).join("\n")}
`;

const pages = { "contracts.md": `${[head, ...body].join("\n\n")}\n`, "addresses.md": addresses };
for (const [name, text] of Object.entries(pages)) {
  const file = join(docs, name);
  if (process.argv.includes("--write")) {
    writeFileSync(file, text);
    console.log(`docs/${name} written`);
  } else if (readFileSync(file, "utf8") !== text) {
    console.error(`docs/${name} is old: make reference writes it anew`);
    process.exitCode = 1;
  } else {
    console.log(`docs/${name} is current`);
  }
}
