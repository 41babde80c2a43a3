"""One operation of a SimpleAccount v0.7, made, signed and sent with web3.py; prints its hash."""

import json
import sys

from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_defunct
from web3 import Web3

STUB = "0x" + "ff" * 15 + "f0" + "00" * 16 + "07" + "aa" * 31 + "1c"
ENTRY_POINT = [
    {"type": "function", "name": "getNonce", "stateMutability": "view",
     "inputs": [{"name": "sender", "type": "address"}, {"name": "key", "type": "uint192"}],
     "outputs": [{"name": "", "type": "uint256"}]},
]


def word(operation, name):
    return int(operation.get(name, "0x0"), 16)


def packed(high, low):
    return high.to_bytes(16, "big") + low.to_bytes(16, "big")


def operation_hash(operation, entry_point, chain_id):
    """Of EntryPoint v0.7: the packed operation's fields, hashed, with the EntryPoint and the chain."""
    raw = lambda name: Web3.to_bytes(hexstr=operation.get(name, "0x"))
    init_code = raw("factory") + raw("factoryData")
    paymaster = raw("paymaster")
    if paymaster:
        paymaster += packed(word(operation, "paymasterVerificationGasLimit"), word(operation, "paymasterPostOpGasLimit"))
        paymaster += raw("paymasterData")
    fields = encode(
        ["address", "uint256", "bytes32", "bytes32", "bytes32", "uint256", "bytes32", "bytes32"],
        [operation["sender"], word(operation, "nonce"), Web3.keccak(init_code), Web3.keccak(raw("callData")),
         packed(word(operation, "verificationGasLimit"), word(operation, "callGasLimit")), word(operation, "preVerificationGas"),
         packed(word(operation, "maxPriorityFeePerGas"), word(operation, "maxFeePerGas")), Web3.keccak(paymaster)])
    return Web3.keccak(encode(["bytes32", "address", "uint256"], [Web3.keccak(fields), entry_point, chain_id]))


def main(asked):
    web3 = Web3(Web3.HTTPProvider(asked["rpcUrl"]))

    def request(provider, method, params):
        answer = provider.make_request(method, params)
        if "error" in answer:
            raise RuntimeError(json.dumps(answer["error"]))
        return answer["result"]

    entry_point = Web3.to_checksum_address(asked["entryPoint"])
    nonce = web3.eth.contract(address=entry_point, abi=ENTRY_POINT).functions.getNonce(asked["sender"], 0).call()
    targets, data = zip(*[(call["to"], Web3.to_bytes(hexstr=call["data"])) for call in asked["calls"]])
    batch = Web3.keccak(text="executeBatch(address[],uint256[],bytes[])")[:4]
    batch += encode(["address[]", "uint256[]", "bytes[]"], [targets, [0] * len(targets), data])
    tip = web3.eth.max_priority_fee
    operation = {
        "sender": asked["sender"], "nonce": hex(nonce), "callData": Web3.to_hex(batch), "signature": STUB,
        "maxPriorityFeePerGas": hex(tip), "maxFeePerGas": hex(2 * web3.eth.get_block("latest")["baseFeePerGas"] + tip),
    }
    if not web3.eth.get_code(asked["sender"]):
        operation |= {"factory": asked["factory"], "factoryData": asked["factoryData"]}

    def sponsor(method):
        if "paymasterUrl" in asked:
            params = [operation, entry_point, hex(web3.eth.chain_id), {}]
            answer = request(Web3.HTTPProvider(asked["paymasterUrl"]), method, params)
            operation.update({name: value for name, value in answer.items() if name.startswith("paymaster")})

    sponsor("pm_getPaymasterStubData")
    operation |= request(web3.provider, "eth_estimateUserOperationGas", [operation, entry_point])
    sponsor("pm_getPaymasterData")
    digest = encode_defunct(operation_hash(operation, entry_point, web3.eth.chain_id))
    operation["signature"] = Web3.to_hex(Account.sign_message(digest, asked["key"]).signature)
    print(request(web3.provider, "eth_sendUserOperation", [operation, entry_point]))


main(json.loads(sys.argv[1]))
