// Alchemy's @aa-sdk/core with an account of one's own, as its documentation has it.
import { LocalAccountSigner, createSmartAccountClient, erc7677Middleware, getEntryPoint, split, toSmartContractAccount } from "@aa-sdk/core";
import { concatHex, encodeFunctionData, http, parseAbi } from "viem";
import { row } from "../table.mjs";
import { chain, deployed, newKey, paymasterUrl, rpcUrl } from "../world.mjs";

const { simple } = deployed();
const transport = http(rpcUrl);

const factoryAbi = parseAbi(["function createAccount(address owner, uint256 salt)"]);
const execute = parseAbi(["function execute(address dest, uint256 value, bytes func)"]);
const batch = {
  "0.6.0": (calls) => encodeFunctionData({ abi: parseAbi(["function executeBatch(address[] dest, bytes[] func)"]), args: [calls.map(({ target }) => target), calls.map(({ data }) => data)] }),
  "0.7.0": (calls) => encodeFunctionData({ abi: parseAbi(["function executeBatch(address[] dest, uint256[] value, bytes[] func)"]), args: [calls.map(({ target }) => target), calls.map(({ value = 0n }) => value), calls.map(({ data }) => data)] }),
};
const STUB = "0xfffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c";

async function simpleAccount(version, factory) {
  const signer = LocalAccountSigner.privateKeyToAccountSigner(newKey());
  const data = encodeFunctionData({ abi: factoryAbi, args: [await signer.getAddress(), 0n] });
  return toSmartContractAccount({
    source: "SimpleAccount",
    transport,
    chain,
    entryPoint: getEntryPoint(chain, { version }),
    getAccountInitCode: async () => concatHex([factory, data]),
    getDummySignature: () => STUB,
    encodeExecute: async ({ target, data, value = 0n }) => encodeFunctionData({ abi: execute, args: [target, value, data] }),
    encodeBatchExecute: async (calls) => batch[version](calls),
    signMessage: ({ message }) => signer.signMessage(message),
    signTypedData: (typed) => signer.signTypedData(typed),
    signUserOperationHash: (raw) => signer.signMessage({ raw }),
  });
}

function open(account) {
  return (sponsor) => {
    // Its documentation sends the paymaster's methods to another URL by `split`.
    const methods = ["pm_getPaymasterStubData", "pm_getPaymasterData"];
    const sponsored = sponsor
      ? { transport: split({ overrides: [{ methods, transport: http(paymasterUrl[sponsor]) }], fallback: transport }), ...erc7677Middleware() }
      : { transport };
    const smart = createSmartAccountClient({ account, chain, ...sponsored });
    return {
      async send(calls) {
        const uo = calls.map(({ to, data, value }) => ({ target: to, data, value }));
        return (await smart.sendUserOperation({ uo: uo.length === 1 ? uo[0] : uo })).hash;
      },
    };
  };
}

for (const [name, version, factory] of [["SimpleAccount v0.6", "0.6.0", simple.v06], ["SimpleAccount v0.7", "0.7.0", simple.v07]]) {
  const account = await simpleAccount(version, factory);
  await row("@aa-sdk/core", name, { entryPoint: `v${version.slice(0, 3)}`, address: account.address, open: open(account) });
}
