import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";
import { pointsOf } from "./points.js";
import { draw, keyOf } from "./report.js";
import { SWITCH, coinbaseOf, weave, withSwitch, withSwitchableModifiers } from "./weave.js";

const solc = createRequire(import.meta.url)("solc");
const SOURCE = `pragma solidity ^0.8.30;
contract Account {
    event Moved(uint256 amount);
    error No();
    uint256 private constant LIMIT = 10 * 2;
    uint256 public sum;
    modifier onlyOwner() {
        if (msg.sender != address(1)) revert No();
        _;
    }
    function add(uint256 amount) external onlyOwner returns (bool) {
        if (amount >= LIMIT || amount == 0) revert No();
        sum += amount;
        emit Moved(amount);
        for (uint256 i; i < 3; ++i) touch(i * 2);
        return !isSmall(amount);
    }
    function touch(uint256) private pure { }
    function isSmall(uint256 amount) private pure returns (bool) { return amount < 5; }
}
`;

function compile(sources, outputs) {
  const input = { language: "Solidity", sources, settings: { outputSelection: { "*": outputs } } };
  const { errors = [], sources: parsed } = JSON.parse(solc.compile(JSON.stringify(input)));
  assert.deepEqual(errors.filter((error) => error.severity === "error").map((error) => error.formattedMessage), []);
  return parsed;
}

const points = pointsOf(compile({ "a.sol": { content: SOURCE } }, { "": ["ast"] })["a.sol"].ast, SOURCE);
const all = points.map((point, index) => ({ ...point, id: index + 1, original: SOURCE.slice(point.start, point.start + point.length) }));
const changes = all.map(({ original, mutant }) => `${original} => ${mutant}`);

test("every kind of fault is found", () => {
  const expected = [
    "amount >= LIMIT => amount > LIMIT",
    "amount >= LIMIT || amount == 0 => amount >= LIMIT && amount == 0",
    "amount >= LIMIT || amount == 0 => false",
    "0 => 0 + 1",
    "sum += amount; => ",
    "sum += amount; => sum -= amount;",
    "emit Moved(amount); => ",
    "touch(i * 2); => ",
    "i * 2 => i / 2",
    "!isSmall(amount) => isSmall(amount)",
    "onlyOwner => ",
    "amount < 5 => amount <= 5",
  ];
  for (const change of expected) assert.ok(changes.includes(change), `${change} is not among\n${changes.join("\n")}`);
});

test("constants that the compiler must know stay", () => {
  assert.ok(!changes.some((change) => change.startsWith("10")));
});

test("all mutants compile at once, on the lines of the original", () => {
  const woven = withSwitchableModifiers(withSwitch(weave(SOURCE, all), "switch.sol"));
  compile({ "a.sol": { content: woven }, "switch.sol": { content: SWITCH } }, { "*": ["evm.bytecode.object"] });
  assert.equal(woven.split("\n").length, SOURCE.split("\n").length);
  for (const { id } of all) assert.match(woven, new RegExp(`(mutant|Unless)\\(${id}\\)`));
});

test("a mutant has the others around it, not inside", () => {
  const [outer, inner] = ["amount >= LIMIT || amount == 0 => false", "amount >= LIMIT => amount > LIMIT"].map((change) => all[changes.indexOf(change)]);
  const woven = weave(SOURCE, [outer, inner]);
  assert.ok(woven.includes(`(mutant(${outer.id}) ? (false) : ((mutant(${inner.id}) ? (amount > LIMIT) : (amount >= LIMIT)) || amount == 0))`));
});

test("the same seed draws the same, another one others", () => {
  assert.deepEqual(draw(all, 5, 1), draw(all, 5, 1));
  assert.notDeepEqual(draw(all, 5, 1), draw(all, 5, 2));
  assert.equal(draw(all, 5, 1).length, 5);
});

test("a mutant is named by what it changes, not by where", () => {
  const [point] = all;
  assert.equal(keyOf(point), keyOf({ ...point, line: 99, start: 0, original: ` ${point.original}\n` }));
});

test("coinbases are far from precompiles", () => {
  assert.equal(coinbaseOf(1), "0x0000000000000000000000000000000000010001");
});
