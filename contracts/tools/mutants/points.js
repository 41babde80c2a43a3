// Where a Solidity source can be spoilt, and how: walks solc's AST.
//
// A point is { start, length, kind, rule, mutant, line, contract, function }: offsets in characters, `kind` says how
// weave.js puts it in:
//   expression  `mutant` in the place of the expression
//   statement   the statement left out, or `mutant` instead of it
//   modifier    the function without this modifier

const RELATIONS = { "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="] };
const ARITHMETIC = { "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["*"], "&": ["|"], "|": ["&"], "<<": [">>"], ">>": ["<<"] };
const LOGIC = { "&&": ["||"], "||": ["&&"] };
const COMPOUND = { "+=": "-=", "-=": "+=" };
const SWAPS = { ...RELATIONS, ...ARITHMETIC, ...LOGIC };

// Those whose text can be made to do nothing when their mutant is on.
const MODIFIERS = ["nonReentrant", "onlyOwner", "whenEntryOpen", "onlyController", "onlyGuardian", "onlyActive", "onlyTimelock"];

const isRational = (node) => node?.typeDescriptions?.typeIdentifier?.startsWith("t_rational") ?? false;

const children = (node) =>
  Object.entries(node)
    .filter(([key]) => key !== "documentation" && key !== "overrides")
    .flatMap(([, value]) => (Array.isArray(value) ? value : [value]))
    .filter((value) => value && typeof value === "object" && typeof value.nodeType === "string");

/** Every point of a source; `ast` is solc's, `source` its text. */
export function pointsOf(ast, source) {
  const bytes = Buffer.from(source, "utf8");
  const offset = (n) => bytes.subarray(0, n).toString("utf8").length;
  const range = (node) => {
    const [start, length] = node.src.split(":").map(Number);
    return [offset(start), offset(start + length) - offset(start)];
  };
  const text = (node) => {
    const [start, length] = range(node);
    return source.slice(start, start + length);
  };
  const points = [];
  let where = {};

  function add(kind, rule, [start, length], mutant) {
    const line = source.slice(0, start).split("\n").length;
    points.push({ start, length, kind, rule, mutant, line, ...where });
  }
  const expression = (rule, node, mutant) => add("expression", rule, range(node), mutant);

  /** The statement with its semicolon. */
  function statement(rule, node, mutant = "") {
    const [start, length] = range(node);
    const semicolon = /^\s*;/.exec(source.slice(start + length));
    if (semicolon) add("statement", rule, [start, length + semicolon[0].length], mutant && `${mutant};`);
  }

  function binary(node) {
    if (!SWAPS[node.operator]) return;
    const [left, right] = [text(node.leftExpression), text(node.rightExpression)];
    for (const operator of SWAPS[node.operator]) expression("operator", node, `${left} ${operator} ${right}`);
  }

  function literal(node, parent) {
    if (node.kind !== "number" || /^0x/i.test(node.value)) return;
    if (parent.nodeType === "FunctionCall" && parent.kind === "typeConversion") return;
    if (parent.nodeType === "BinaryOperation" && ["<<", ">>", "**"].includes(parent.operator)) return;
    if (isRational(parent) || parent.nodeType === "TupleExpression") return;
    expression("constant", node, `${text(node)} + 1`);
  }

  function returned(node) {
    const type = node.expression?.typeDescriptions?.typeString ?? "";
    if (type === "bool") expression("return", node.expression, `!(${text(node.expression)})`);
    if (/^(uint\d+|bytes32|address)$/.test(type)) expression("return", node.expression, `${type}(0)`);
  }

  function modifiers(node) {
    for (const invocation of node.modifiers ?? []) {
      const name = invocation.modifierName.name;
      if (invocation.arguments === null || invocation.arguments === undefined || invocation.arguments.length === 0) {
        if (MODIFIERS.includes(name)) add("modifier", "modifier", range(invocation), "");
      }
    }
  }

  function visit(node, parent) {
    if (node.nodeType === "InlineAssembly" || node.nodeType === "ModifierInvocation") return;
    if (node.nodeType === "ContractDefinition") {
      if (node.contractKind === "interface") return;
      where = { contract: node.name, function: "" };
    }
    if (node.nodeType === "FunctionDefinition" || node.nodeType === "ModifierDefinition") {
      if (!node.body) return;
      where = { ...where, function: node.name || node.kind };
      modifiers(node);
    }
    // A constant must be known to the compiler, a state variable's first value is none of a function's.
    if (node.nodeType === "VariableDeclaration") return;
    if (isRational(node) && node.nodeType !== "Literal") return;
    switch (node.nodeType) {
      case "BinaryOperation": binary(node); break;
      case "Literal": literal(node, parent); break;
      case "Return": returned(node); break;
      case "UnaryOperation":
        if (node.operator === "!") expression("negation", node, text(node.subExpression));
        break;
      case "Conditional": expression("condition", node.condition, `!(${text(node.condition)})`); break;
      case "IfStatement":
        expression("condition", node.condition, "true");
        expression("condition", node.condition, "false");
        break;
      case "EmitStatement": statement("event", node); break;
      case "RevertStatement":
        if (parent.nodeType !== "IfStatement") statement("revert", node);
        break;
      case "ExpressionStatement": {
        if (parent.nodeType === "ForStatement" && parent.body !== node) break;
        const inner = node.expression;
        if (inner.nodeType === "Assignment" || inner.nodeType === "FunctionCall") statement("removal", node);
        if (inner.nodeType === "UnaryOperation") statement("removal", node);
        if (inner.nodeType === "Assignment" && COMPOUND[inner.operator]) {
          statement("operator", node, `${text(inner.leftHandSide)} ${COMPOUND[inner.operator]} ${text(inner.rightHandSide)}`);
        }
        break;
      }
    }
    for (const child of children(node)) visit(child, node);
  }
  visit(ast, {});
  return points;
}
