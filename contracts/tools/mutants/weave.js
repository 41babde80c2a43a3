// Puts many mutants into one source at once, each behind its number: compiled once, and one is switched on for a run.

/** What the sources call; the number of the mutant that is on is the block's coinbase, which tests can set. */
export const SWITCH = `// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

function activeMutant(uint256 id) view returns (bool) {
    return uint160(address(block.coinbase)) == ${0x10000} + id;
}

/// @dev Pure for the compiler only, so that it can stand in pure functions.
function mutant(uint256 id) pure returns (bool) {
    function(uint256) internal view returns (bool) looks = activeMutant;
    function(uint256) internal pure returns (bool) looksPure;
    assembly {
        looksPure := looks
    }
    return looksPure(id);
}
`;

/** The coinbase that switches a mutant on. */
export const coinbaseOf = (id) => `0x${(0x10000 + id).toString(16).padStart(40, "0")}`;

function wrap(point, inner) {
  switch (point.kind) {
    case "expression":
      return `(mutant(${point.id}) ? (${point.mutant}) : (${inner}))`;
    case "statement":
      return `{ if (mutant(${point.id})) { ${point.mutant} } else { ${inner} } }`;
    case "modifier":
      return `${inner}Unless(${point.id})`;
    default:
      throw new Error(`unknown kind ${point.kind}`);
  }
}

/** `source` with all `points`, which carry an `id`; a mutant has the other ones around it, never inside. */
export function weave(source, points) {
  const sorted = [...points].sort((a, b) => a.start - b.start || b.length - a.length || a.id - b.id);
  function piece(start, end, list) {
    let [out, at] = ["", start];
    while (list.length > 0) {
      const [point, ...rest] = list;
      const pointEnd = point.start + point.length;
      const inside = rest.filter((other) => other.start < pointEnd);
      out += source.slice(at, point.start) + wrap(point, piece(point.start, pointEnd, inside));
      [at, list] = [pointEnd, rest.filter((other) => other.start >= pointEnd)];
    }
    return out + source.slice(at, end);
  }
  return piece(0, source.length, sorted);
}

/** Gives every parameterless modifier a twin that takes the number of a mutant, and does nothing while that is on. On the
 * same line, so that lines stay what they are. */
export function withSwitchableModifiers(source) {
  return source.replace(/^( *)modifier (\w+)\(\) (?:virtual )?\{\n([\s\S]*?)\n\1\}/gm, (whole, indent, name, body) => {
    const [before, after] = body.split(/^\s*_;\s*$/m).map((part) => part.replace(/\/\/.*$/gm, "").replace(/\s+/g, " ").trim());
    const off = (part) => (part ? `if (!mutant(mutantId)) { ${part} }` : "");
    return `${whole} modifier ${name}Unless(uint256 mutantId) { ${off(before)} _; ${off(after)} }`;
  });
}

/** `source` with the switch imported; `path` leads there. */
export function withSwitch(source, path) {
  return source.replace(/^(pragma solidity [^;]*;)/m, `$1 import { mutant } from "${path}";`);
}
