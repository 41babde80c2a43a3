// Deploys every kind of account that a registry ships compiled, and writes where its factories are. Where clients insist
// on the address that the vendor uses, the code is there: by the vendor's own deterministic deployer, or copied.
import { writeFileSync } from "node:fs";
import * as metamask from "@metamask/delegation-abis/bytecode";
import {
  concatHex, encodeAbiParameters, encodeFunctionData, getCreate2Address, numberToHex, parseAbi, parseAbiParameters, parseEther, zeroHash,
} from "viem";
import { client, deployment, faucet, node } from "../world.mjs";
import { artifact, compile, constant, thirdweb } from "./artifacts.mjs";

const DETERMINISTIC = "0x4e59b44847b379578588920cA78FbF26c0B4956C";
/** The same code, by Safe's key. */
const SAFE_SINGLETON_FACTORY = "0x914d7Fec6aaC8cd542e72Bca78B30650d45643d7";

const { "v0.6": EP06, "v0.7": EP07, "v0.8": EP08 } = deployment.entryPoints;
const args = (types, ...values) => encodeAbiParameters(parseAbiParameters(types), values);

/** Creates a contract by CREATE2 with salt 0, and says where it is. */
async function create2(creation, by = DETERMINISTIC) {
  const address = getCreate2Address({ from: by, salt: zeroHash, bytecode: creation });
  if (await client.getCode({ address })) return address;
  const hash = await faucet.sendTransaction({ to: by, data: concatHex([zeroHash, creation]), gas: 16_000_000n });
  await client.waitForTransactionReceipt({ hash });
  if (!(await client.getCode({ address }))) throw new Error(`nothing at ${address} after ${hash}`);
  return address;
}

/** The code of one contract at another address: that at which clients expect it. */
async function copy(from, ...addresses) {
  const bytecode = await client.getCode({ address: from });
  for (const address of addresses) await node.setCode({ address, bytecode });
}

/** What a constructor returns, put at this address: for code that is over the limit of EIP-170 as its package compiles it. */
async function place(creation, address) {
  await node.setCode({ address, bytecode: creation });
  const { data } = await client.call({ to: address });
  await node.setCode({ address, bytecode: data });
  return address;
}

/** Stakes a factory that the vendor has staked too. */
async function stake(address, entryPoint) {
  await node.impersonateAccount({ address });
  await node.setBalance({ address, value: parseEther("2") });
  const abi = parseAbi(["function addStake(uint32 delay) payable"]);
  const data = encodeFunctionData({ abi, args: [7 * 86_400] });
  const hash = await node.request({ method: "eth_sendTransaction", params: [{ from: address, to: entryPoint, data, value: numberToHex(parseEther("1")) }] });
  await client.waitForTransactionReceipt({ hash });
  await node.stopImpersonatingAccount({ address });
  await node.setBalance({ address, value: 0n });
}

async function safe() {
  await copy(DETERMINISTIC, SAFE_SINGLETON_FACTORY);
  const of = (name) => `@safe-global/safe-contracts/build/artifacts/contracts/${name}.json`;
  const module = (name) => `@safe-global/safe-4337/build/artifacts/contracts/${name}.json`;
  const at = {};
  for (const name of ["Safe.sol/Safe", "SafeL2.sol/SafeL2", "proxies/SafeProxyFactory.sol/SafeProxyFactory",
    "handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler", "libraries/MultiSend.sol/MultiSend",
    "libraries/MultiSendCallOnly.sol/MultiSendCallOnly", "libraries/SignMessageLib.sol/SignMessageLib",
    "libraries/CreateCall.sol/CreateCall", "accessors/SimulateTxAccessor.sol/SimulateTxAccessor"]) {
    at[name.split("/").at(-1)] = await create2(artifact(of(name)), SAFE_SINGLETON_FACTORY);
  }
  at.SafeModuleSetup = await create2(artifact(module("SafeModuleSetup.sol/SafeModuleSetup")), SAFE_SINGLETON_FACTORY);
  at.Safe4337Module = await create2(concatHex([artifact(module("Safe4337Module.sol/Safe4337Module")), args("address", EP07)]), SAFE_SINGLETON_FACTORY);
  // The package's compilation differs from the vendor's in its metadata.
  await copy(at.SafeModuleSetup, "0x2dd68b007B46fBe91B9A7c3EDa5A7a1063cB5b47");
  await copy(at.Safe4337Module, "0x75cf11467937ce3F2f357CE24ffc3DBF8fD5c226");
  return at;
}

async function simple() {
  const at = {};
  const usual = { v06: "0x9406Cc6185a346906296840746125a0E44976454", v07: "0x91E60e0613810449d098b0b5Ec8b51A0FE8c8985", v08: "0x13E9ed32155810FDbd067D4522C492D6f68E5944" };
  for (const [version, entryPoint] of [["v06", EP06], ["v07", EP07], ["v08", EP08]]) {
    const creation = concatHex([artifact(`account-abstraction-${version}/artifacts/SimpleAccountFactory.json`), args("address", entryPoint)]);
    at[version] = await create2(creation);
    await copy(at[version], usual[version]);
  }
  at.v08_7702 = await create2(artifact("account-abstraction-v08/artifacts/Simple7702Account.json"));
  await copy(at.v08_7702, "0xe6Cae83BdE06E4c305530e199D7217f42808555B");
  return at;
}

const KIT = "@rhinestone/modulekit/src/deployment/precompiles";

async function kernel(validator) {
  const creation = concatHex([constant(`${KIT}/KernelPrecompiles.sol`, "KERNEL_BYTECODE"), args("address", EP07)]);
  const implementation = await place(creation, "0xBAC849bB641841b44E965fB01A4Bf5F074f84b4D");
  const factory = await create2(concatHex([constant(`${KIT}/KernelPrecompiles.sol`, "KERNEL_FACTORY_BYTECODE"), args("address", implementation)]));
  // The vendor's own is reached through a contract that holds its stake.
  await stake(factory, EP07);
  return { implementation, factory, validator };
}

async function nexus(validator) {
  const of = (name) => constant(`${KIT}/NexusPrecompiles.sol`, name);
  const implementation = await create2(concatHex([of("NEXUS_BYTECODE"), args("address", EP07)]));
  const factory = await create2(concatHex([of("NEXUS_ACCOUNT_FACTORY_BYTECODE"), args("address, address", implementation, faucet.account.address)]));
  // It has a method for that, its owner's.
  await stake(factory, EP07);
  return { implementation, factory, bootstrap: await create2(of("NEXUS_BOOTSTRAP_BYTECODE")), validator };
}

async function reference(validator, ReferenceFactory) {
  const of = (name) => constant(`${KIT}/ERC7579Precompiles.sol`, name);
  const factory = await create2(concatHex([ReferenceFactory, args("bytes", of("MSAPROXY_BYTECODE"))]));
  await stake(factory, EP07);
  return { implementation: await place(of("ERC7579_BYTECODE"), "0x0000000000000000000000000000000000007579"), bootstrap: await create2(of("ERC7579_BOOTSTRAP_BYTECODE")), factory, validator };
}

async function deleGator() {
  const manager = await create2(concatHex([metamask.DelegationManager, args("address", faucet.account.address)]));
  const link = (code, library) => code.replace(/__\$[0-9a-f]{34}\$__/g, library.slice(2).toLowerCase());
  const p256 = await create2(metamask.SCL_RIP7212);
  const hybrid = await create2(concatHex([link(metamask.HybridDeleGator, p256), args("address, address", manager, EP07)]));
  const stateless = await create2(concatHex([metamask.EIP7702StatelessDeleGator, args("address, address", manager, EP07)]));
  return { manager, hybrid, stateless, factory: await create2(metamask.SimpleFactory) };
}

async function solady({ SoladyAccount, ERC4337Factory }) {
  const implementation = await create2(SoladyAccount);
  return { implementation, factory: await create2(concatHex([ERC4337Factory, args("address", implementation)])) };
}

const ours = compile("OwnerValidator.sol");
const validator = await create2(ours.OwnerValidator);
const accounts = {
  safe: await safe(),
  simple: await simple(),
  kernel: await kernel(validator),
  nexus: await nexus(validator),
  reference: await reference(validator, ours.ReferenceFactory),
  deleGator: await deleGator(),
  thirdweb: { factory: await create2(concatHex([thirdweb("AccountFactory"), args("address, address", faucet.account.address, EP06)])) },
  solady: await solady(compile("SoladyAccount.sol")),
};
writeFileSync(process.env.FABSTIR_ACCOUNTS, JSON.stringify(accounts, null, 2));
