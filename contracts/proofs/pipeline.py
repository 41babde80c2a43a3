"""From a model to a verifier in the EVM, and from a job to a proof, with EZKL.

    pipeline.py setup FOLDER MODEL [SRS [VERIFIER]]
                                           model, circuit, SRS, keys, verifier; MODEL is `tiny` or `mlp`; of the keys
                                           that EZKL may make, that of a VERIFIER
    pipeline.py commit FOLDER              input (stdin: {"x": [...]}) to its commitment and the result, as JSON
    pipeline.py prove FOLDER               {"x": [...], "statement": "0x..."} on stdin to a proof, as JSON on stdout

The circuit takes the input `x` and the statement (32 bytes as 16 limbs of 16 bits, most significant first) and hands
the statement on unchanged. Its public instances are

    Poseidon(x), Poseidon(statement), y[0] .. y[n-1], limb[0] .. limb[15]

The SRS is made here, so whoever ran `setup` could forge: for test networks only.
"""

import asyncio
import json
import os
import resource
import shutil
import sys
import time

import ezkl
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

LIMBS = 16
# Rows of the circuit as a power of two, inputs, layer sizes, base and legs of range checks (the default's table of
# 2^14 rows would make the tiny circuit eight times as large).
MODELS = {"tiny": (11, 4, [2], 128, 4), "mlp": (15, 784, [64, 10], 16384, 2)}
SEED = 4337
STAMP = "stamp.json"
# One in two is the committed one.
DRAWS = 40


def build_model(name, path):
    """An ONNX model with whole-number weights from a fixed seed."""
    _, width, layers, _, _ = MODELS[name]
    random = numpy.random.default_rng(SEED)
    nodes, weights, value = [], [], "x"
    for index, size in enumerate(layers):
        matrix = random.integers(-4, 5, (width, size)).astype(numpy.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{index}"))
        last = index == len(layers) - 1
        out = "y" if last else f"h{index}"
        nodes.append(helper.make_node("MatMul", [value, f"w{index}"], [out if last else f"m{index}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"m{index}"], [out]))
        value, width = out, size
    nodes.append(helper.make_node("Identity", ["statement"], ["statement_out"]))
    tensor = lambda label, size: helper.make_tensor_value_info(label, TensorProto.FLOAT, [1, size])
    graph = helper.make_graph(
        nodes,
        name,
        [tensor("x", MODELS[name][1]), tensor("statement", LIMBS)],
        [tensor("y", layers[-1]), tensor("statement_out", LIMBS)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def limbs_of(statement):
    raw = bytes.fromhex(statement.removeprefix("0x").zfill(64))
    return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, 32, 2)]


def big_endian(felt):
    return "0x" + bytes.fromhex(felt)[::-1].hex()


def at(folder, name):
    return os.path.join(folder, name)


def setup(folder, name, given_srs=None, verifier=None):
    """Of a given SRS and model EZKL makes one of a few keys: it keeps a circuit's dimensions in hash maps, whose order it
    draws anew. Where a verifier is given, the draw is repeated until it is that one's."""
    for _ in range(DRAWS):
        os.makedirs(folder, exist_ok=True)
        if os.path.exists(at(folder, STAMP)):
            return
        make(folder, name, given_srs)
        if verifier is None or same_verifier(at(folder, "Verifier.sol"), verifier):
            json.dump({"model": name}, open(at(folder, STAMP), "w"))
            return
        shutil.rmtree(folder)
    sys.exit(f"none of {DRAWS} keys of {name} is that of {verifier}")


def same_verifier(made, committed):
    """But for the contract's name."""
    return [line for line in open(made) if not line.startswith("contract ")] == [
        line for line in open(committed) if not line.startswith("contract ")
    ]


def make(folder, name, given_srs):
    rows, _, _, base, legs = MODELS[name]
    onnx_file = at(folder, "model.onnx")
    if not os.path.exists(onnx_file):
        build_model(name, onnx_file)
    args = ezkl.PyRunArgs()
    args.input_visibility, args.output_visibility, args.param_visibility = "hashed", "public", "fixed"
    args.input_scale, args.param_scale, args.logrows = 0, 0, rows
    args.decomp_base, args.decomp_legs = base, legs
    settings, circuit = at(folder, "settings.json"), at(folder, "model.compiled")
    assert ezkl.gen_settings(onnx_file, settings, py_run_args=args)
    assert ezkl.compile_circuit(onnx_file, circuit, settings)
    rows = json.load(open(settings))["run_args"]["logrows"]
    srs, vk, pk = at(folder, "kzg.srs"), at(folder, "vk.key"), at(folder, "pk.key")
    if given_srs:
        shutil.copyfile(given_srs, srs)
    elif not os.path.exists(srs):
        ezkl.gen_srs(srs, rows)
    started = time.time()
    assert ezkl.setup(circuit, vk, pk, srs)
    print(f"setup: {time.time() - started:.2f} s", file=sys.stderr)
    for label, reusable in (("Verifier", False), ("ReusableVerifier", True)):
        sol = at(folder, f"{label}.sol")
        emit(lambda: ezkl.create_evm_verifier(vk, settings, sol, at(folder, f"{label}.abi"), srs, reusable), sol)
    emit(lambda: ezkl.create_evm_vka(vk, settings, at(folder, "vka.bytes"), srs), at(folder, "vka.bytes"))


def emit(call, path):
    """EZKL wants an event loop, and a compiler that it does not need for the source it has written by then."""

    async def run():
        result = call()
        return await result if asyncio.isfuture(result) or asyncio.iscoroutine(result) else result

    try:
        asyncio.run(run())
    except Exception as error:  # noqa: BLE001
        if not os.path.exists(path):
            raise
        print(f"{os.path.basename(path)} is written; then: {error}".splitlines()[0][:120], file=sys.stderr)


def witness(folder, x, statement):
    data, out = at(folder, "input.json"), at(folder, "witness.json")
    json.dump({"input_data": [x, limbs_of(statement)]}, open(data, "w"))
    ezkl.gen_witness(data, at(folder, "model.compiled"), out, at(folder, "vk.key"), at(folder, "kzg.srs"))
    return json.load(open(out))


def commit(folder, request):
    """The input's commitment and the outputs."""
    found = witness(folder, request["x"], "0x0")
    commitment = found["processed_inputs"]["poseidon_hash"][0]
    commitment = commitment[0] if isinstance(commitment, list) else commitment
    return {"inputHash": big_endian(commitment), "outputs": [big_endian(value) for value in found["outputs"][0]]}


def prove(folder, request):
    witness(folder, request["x"], request["statement"])
    proof_file, srs = at(folder, "proof.json"), at(folder, "kzg.srs")
    started = time.time()
    ezkl.prove(at(folder, "witness.json"), at(folder, "model.compiled"), at(folder, "pk.key"), proof_file, srs)
    seconds = time.time() - started
    assert ezkl.verify(proof_file, at(folder, "settings.json"), at(folder, "vk.key"), srs)
    proof = json.load(open(proof_file))
    instances = [big_endian(felt) for group in proof["instances"] for felt in group]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "proof": proof["hex_proof"],
        "instances": instances,
        "seconds": round(seconds, 2),
        "peakMemoryMiB": memory,
    }


def main():
    command, folder = sys.argv[1:3]
    if command == "setup":
        setup(folder, *sys.argv[3:6])
    elif command in ("commit", "prove"):
        print(json.dumps({"commit": commit, "prove": prove}[command](folder, json.load(sys.stdin))))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
    # Done: what EZKL's threads do while the interpreter is taken down has ended in a segmentation fault now and then.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
