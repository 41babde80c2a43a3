// Operations by hand with ox, on the reference account of ERC-7579.
import { AbiFunction, AbiParameters, Hex, Provider, RpcTransport, Secp256k1, PersonalMessage, Signature } from "ox";
import { UserOperation } from "ox/erc4337";
import { privateKeyToAccount } from "viem/accounts";
import { row } from "../table.mjs";
import { chain, client, deployed, deployment, newKey, paymasterUrl, rpcUrl } from "../world.mjs";

const { reference } = deployed();
const entryPointAddress = deployment.entryPoints["v0.7"];
const key = newKey();
const owner = privateKeyToAccount(key).address;

const initMSA = AbiFunction.from("function initMSA((address module, bytes data)[] validators, (address module, bytes data)[] executors, (address module, bytes data) hook, (address module, bytes data)[] fallbacks)");
const none = { module: "0x0000000000000000000000000000000000000000", data: "0x" };
const bootstrap = AbiFunction.encodeData(initMSA, [[{ module: reference.validator, data: owner }], [], none, []]);
const init = AbiParameters.encode(AbiParameters.from("address, bytes"), [reference.bootstrap, bootstrap]);
const initialize = AbiFunction.encodeData(AbiFunction.from("function initializeAccount(bytes data)"), [init]);
const proxyArguments = AbiParameters.encode(AbiParameters.from("address, bytes"), [reference.implementation, initialize]);

const salt = Hex.padLeft("0x01", 32);
const create = AbiFunction.from("function createAccount(bytes32 salt, bytes arguments) returns (address)");
const addressOf = AbiFunction.from("function getAddress(bytes32 salt, bytes arguments) view returns (address)");
const { data: found } = await client.call({ to: reference.factory, data: AbiFunction.encodeData(addressOf, [salt, proxyArguments]) });
const sender = AbiFunction.decodeResult(addressOf, found);

const execute = AbiFunction.from("function execute(bytes32 mode, bytes executionCalldata)");
const BATCH = Hex.padRight("0x01", 32);
const calldata = (calls) =>
  AbiFunction.encodeData(execute, [BATCH, AbiParameters.encode(AbiParameters.from(["struct Execution { address target; uint256 value; bytes callData; }", "Execution[]"]), [calls.map(({ to, value, data }) => ({ target: to, value, callData: data }))])]);

const at = (url) => Provider.from(RpcTransport.fromHttp(url));
const STUB = "0xfffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c";

const open = (sponsor) => ({
  async send(calls) {
    const bundler = at(rpcUrl);
    const getNonce = AbiFunction.from("function getNonce(address sender, uint192 key) view returns (uint256)");
    // Its nonce's key names the validator.
    const data = AbiFunction.encodeData(getNonce, [sender, BigInt(reference.validator) << 32n]);
    const nonce = BigInt(await bundler.request({ method: "eth_call", params: [{ to: entryPointAddress, data }, "latest"] }));
    const isThere = (await bundler.request({ method: "eth_getCode", params: [sender, "latest"] })) !== "0x";
    const { maxFeePerGas, maxPriorityFeePerGas } = (await bundler.request({ method: "pimlico_getUserOperationGasPrice" })).fast;
    let operation = {
      sender, nonce, callData: calldata(calls), signature: STUB, callGasLimit: 0n, verificationGasLimit: 0n, preVerificationGas: 0n,
      maxFeePerGas: BigInt(maxFeePerGas), maxPriorityFeePerGas: BigInt(maxPriorityFeePerGas),
      ...(isThere ? {} : { factory: reference.factory, factoryData: AbiFunction.encodeData(create, [salt, proxyArguments]) }),
    };
    const ask = async (method) => {
      const params = [UserOperation.toRpc(operation), entryPointAddress, Hex.fromNumber(chain.id), {}];
      operation = { ...operation, ...read(await at(paymasterUrl[sponsor]).request({ method, params })) };
    };
    if (sponsor) await ask("pm_getPaymasterStubData");
    operation = { ...operation, ...read(await bundler.request({ method: "eth_estimateUserOperationGas", params: [UserOperation.toRpc(operation), entryPointAddress] })) };
    if (sponsor) await ask("pm_getPaymasterData");
    const payload = PersonalMessage.getSignPayload(UserOperation.hash(operation, { chainId: chain.id, entryPointAddress, entryPointVersion: "0.7" }));
    operation.signature = Signature.toHex(Secp256k1.sign({ payload, privateKey: key }));
    return bundler.request({ method: "eth_sendUserOperation", params: [UserOperation.toRpc(operation), entryPointAddress] });
  },
});

/** Quantities as ox has them. */
const read = (answer) => Object.fromEntries(Object.entries(answer).map(([name, value]) => [name, /Gas/.test(name) ? BigInt(value) : value]).filter(([name]) => name !== "isFinal" && name !== "sponsor"));

await row("ox", "ERC-7579 reference", { entryPoint: "v0.7", address: sender, open });
