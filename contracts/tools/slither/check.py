"""Slither over `src`: fails unless every finding is explained in triage.json, and every explanation still explains one.

`check.py --write FILE` writes what was found, for the next entry of triage.json.
"""

import inspect
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from crytic_compile import CryticCompile
from crytic_compile.compilation_unit import CompilationUnit
from crytic_compile.compiler.compiler import CompilerVersion
from crytic_compile.platform.solc_standard_json import SolcStandardJson, parse_standard_json_output
from slither import Slither
from slither.detectors import all_detectors
from slither.detectors.abstract_detector import AbstractDetector

HERE = Path(__file__).parent


class Sources(SolcStandardJson):
    """What `ast.js` prints, in the place of a run of solc."""

    def __init__(self, output):
        super().__init__({"language": "Solidity", "sources": {}, "settings": {}})
        self._output = output

    def compile(self, crytic_compile, **_kwargs):
        unit = CompilationUnit(crytic_compile, "src")
        version = self._output["version"].split("+")[0]
        unit.compiler_version = CompilerVersion(compiler="solc", version=version, optimized=False)
        parse_standard_json_output(self._output, unit)


def detect():
    printed = subprocess.run(["node", HERE / "ast.js"], stdout=subprocess.PIPE, check=True).stdout
    slither = Slither(CryticCompile(Sources(json.loads(printed))))
    for _, detector in inspect.getmembers(all_detectors, inspect.isclass):
        if issubclass(detector, AbstractDetector) and detector is not AbstractDetector:
            slither.register_detector(detector)
    findings = [finding for of_detector in slither.run_detectors() for finding in of_detector]
    return [finding for finding in findings if any(map(is_ours, finding["elements"]))]


def is_ours(element):
    return element["source_mapping"]["filename_relative"].startswith("src/")


def place(element):
    """`Contract.function` of what a finding begins with; a statement or a local variable is named by its function."""
    parent = element.get("type_specific_fields", {}).get("parent")
    if element["type"] == "node" or (parent and parent["type"] == "function"):
        return place(parent)
    if parent and parent["type"] == "contract":
        return f"{parent['name']}.{element['name']}"
    return element["name"]


def main():
    findings = detect()
    if "--write" in sys.argv:
        Path(sys.argv[sys.argv.index("--write") + 1]).write_text(json.dumps(findings, indent=1))
    triage = json.loads((HERE / "triage.json").read_text())
    known = Counter()
    for entry in triage["findings"]:
        for where, count in entry["at"].items():
            known[entry["check"], where] += count

    found = Counter()
    problems = []
    for finding in findings:
        if finding["check"] in triage["detectors"]:
            continue
        key = finding["check"], place(finding["elements"][0])
        found[key] += 1
        if found[key] > known[key]:
            problems.append(f"unexplained: {key[0]} at {key[1]} ({finding['impact']})\n{finding['description']}")
    explained = sum(found.values()) - len(problems)
    by_detector = len(findings) - sum(found.values())
    problems += [f"no longer there: {check} at {where}" for (check, where), count in known.items() if found[check, where] < count]
    silent = set(triage["detectors"]) - {finding["check"] for finding in findings}
    problems += [f"no longer there: {check}" for check in sorted(silent)]

    print(f"slither: {len(findings)} findings, {explained} explained one by one, {by_detector} by their detector")
    if problems:
        sys.exit("\n".join(problems))


main()
