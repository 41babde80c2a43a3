#!/usr/bin/env bash
# Stands for a program that a recipe of the Makefile runs: does at once what the rest of the recipe needs of it, and fails
# where the real one would miss something: a program or a file that is not there yet, or a value that is empty.
set -euo pipefail
name=$(basename "$0")
fail() {
	echo "stub: $name $*: $problem" >&2
	exit 1
}

echo "$name $*" >>"$STUB_LOG"
for argument in "$@"; do
	problem="an argument is empty"
	[ -n "$argument" ] || fail "$@"
done
problem=$(env | grep -E '^FABSTIR_[A-Z_]+=$' || true)
[ -z "$problem" ] || { problem="an empty variable: $problem"; fail "$@"; }

# Puts a copy of this stub there.
install() {
	mkdir -p "$(dirname "$1")"
	ln -sf "$STUB_SELF" "$1"
}
need() {
	problem="no $1"
	[ -e "$1" ] || fail "${all[@]}"
}
all=("$@")

case "$name" in
npm)
	[ "$1" = install ] || exit 0
	mkdir -p node_modules/.bin
	if grep -q '@foundry-rs/forge' package.json; then
		install node_modules/@foundry-rs/forge-linux-amd64/bin/forge
		install node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil
	fi
	;;
forge)
	need foundry.toml
	[ "$1" = build ] || exit 0
	mkdir -p out
	case "$*" in *--skip*) ;; *) touch out/with-tests ;; esac
	;;
cargo)
	[ "$1" = fmt ] && exit 0
	case "$*" in
	*--keep-going*) [ -d contracts/out ] || exit 1 ;;
	clean | install*) exit 0 ;;
	*) need contracts/out ;;
	esac
	case "$*" in
	"build "*quick*) install target/quick/fabstir ;;
	"test "*"--bin faults") install target/release/faults ;;
	"build "*"--bin judges") install target/debug/judges ;;
	"build "*--workspace*) install target/debug/fabstir ;;
	*--no-run*) ;;
	"test "*" --lib --bins --tests")
		need contracts/out/with-tests
		need target/debug/fabstir
		for folder in tests/viem tests/browser tests/clients sdk; do need $folder/node_modules; done
		need tests/clients/.venv/bin/python
		need "$FABSTIR_EZKL_PYTHON"
		need "$FABSTIR_EZKL_TINY"
		;;
	"test "*client_table*) need tests/clients/node_modules && need tests/clients/.venv/bin/python ;;
	"test "*no_seed*) [ -z "${FABSTIR_HASHES:-}" ] || echo "hash of 1: 0x1" ;;
	"test "*pictures* | "test "*console*) need tests/browser/node_modules ;;
	"bench "*rpc*) need tests/viem/node_modules ;;
	esac
	;;
fabstir)
	# `fabstir dev` finds anvil where npm has put it.
	[ "$1" != dev ] || ls contracts/node_modules/@foundry-rs/anvil-*/bin/anvil >/dev/null
	;;
python3)
	problem="not foreseen"
	[ "$1 $2" = "-m venv" ] || fail "$@"
	install "$3/bin/python"
	;;
python)
	case "$*" in
	*"-m pip"*halmos*) install contracts/tools/halmos/.venv/bin/halmos ;;
	*"pipeline.py setup"*)
		mkdir -p "$3"
		touch "$3/stamp.json"
		sed 's/contract TinyVerifier/contract Halo2Verifier/' contracts/test/ProofSystem/verifiers/TinyVerifier.sol >"$3/Verifier.sol"
		cp contracts/proofs/tiny.onnx "$3/model.onnx"
		;;
	*"pipeline.py prove"*) cat >/dev/null ;;
	-c*) cat >/dev/null ;;
	*check.py*) need node_modules ;;
	esac
	;;
esac
