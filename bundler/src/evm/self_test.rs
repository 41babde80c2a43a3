//! Is our EVM the chain's? A verdict under another hardfork, or with other precompiles, would be a wrong one.
//!
//! Each probe is init code that measures something and returns it as the code to deploy, so that a plain `eth_call`
//! tells what the node's EVM makes of it, and needs no state. What it measures must be the same in process.

use alloy::primitives::{Bytes, hex, keccak256};
use erc4337::ChainPreset;
use futures::future::try_join_all;
use revm::{
    Context, ExecuteEvm, MainBuilder, MainContext,
    bytecode::opcode,
    context::{TxEnv, result::ExecutionResult},
    database::EmptyDB,
    primitives::{Address, TxKind},
};

use super::{
    BlockPin, Moment,
    rules_of_chain::{precompiles, spec},
};
use crate::node::{NodeClient, NodeError};

/// Gas of a probe: enough for any, and under every chain's cap.
const GAS: u64 = 10_000_000;
/// Gas that a probe gives the precompile it calls.
const PRECOMPILE_GAS: u32 = 5_000_000;
/// Bytes of the transaction that shows what calldata costs.
const CALLDATA: usize = 1_000;
/// Per cent by which a node's estimate may be above the cost.
const TOLERANCE: u64 = 2;

/// Our EVM and the chain's are not the same.
#[derive(Debug, thiserror::Error)]
#[error(
    "the chain's EVM is not the one configured ({hardfork}): probe `{probe}` gives {node} on the node, {ours} here"
)]
pub struct EvmDiffers {
    /// What was tried.
    pub probe: &'static str,
    /// The configured hardfork.
    pub hardfork: String,
    /// What the node made of it.
    pub node: String,
    /// What we did.
    pub ours: String,
}

/// Why the self-test did not pass.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// There is a difference.
    #[error(transparent)]
    Differs(#[from] EvmDiffers),
    /// The node did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A probe could not be run here.
    #[error("probe `{probe}` could not be run: {reason}")]
    Probe {
        /// Which.
        probe: &'static str,
        /// Why.
        reason: String,
    },
}

/// What a probe came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Returned(Bytes),
    Failed,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Returned(bytes) => write!(f, "{bytes}"),
            Self::Failed => f.write_str("a failure"),
        }
    }
}

/// Something to measure.
struct Probe {
    name: &'static str,
    init_code: Vec<u8>,
}

/// Holds our EVM against the node's.
///
/// # Errors
/// The first difference, by name.
pub(crate) async fn run(chain: &ChainPreset, node: &NodeClient, block: &BlockPin) -> Result<(), SelfTestError> {
    let probes = probes();
    let theirs = try_join_all(probes.iter().map(|probe| ask(node, probe))).await?;
    for (probe, node) in probes.iter().zip(theirs) {
        let ours = here(chain, block, probe)?;
        if ours != node {
            let (node, ours) = (node.to_string(), ours.to_string());
            return Err(differs(chain, probe.name, node, ours).into());
        }
    }
    let data = Bytes::from(vec![0xff; CALLDATA]);
    let estimate = node.estimate_gas(Address::repeat_byte(0xfa), data.clone()).await?;
    let ours = transact(chain, block, "calldata", TxKind::Call(Address::repeat_byte(0xfa)), data)?.tx_gas_used();
    if estimate < ours || estimate > ours + ours * TOLERANCE / 100 {
        return Err(differs(chain, "calldata", format!("{estimate} gas"), format!("{ours} gas")).into());
    }
    Ok(())
}

fn differs(chain: &ChainPreset, probe: &'static str, node: String, ours: String) -> EvmDiffers {
    EvmDiffers { probe, hardfork: format!("{:?}", chain.hardfork), node, ours }
}

async fn ask(node: &NodeClient, probe: &Probe) -> Result<Outcome, NodeError> {
    match node.call_init_code(&probe.init_code, GAS).await {
        Ok(code) => Ok(Outcome::Returned(code)),
        Err(NodeError::Refused { .. }) => Ok(Outcome::Failed),
        Err(error) => Err(error),
    }
}

fn here(chain: &ChainPreset, block: &BlockPin, probe: &Probe) -> Result<Outcome, SelfTestError> {
    let init_code = Bytes::from(probe.init_code.clone());
    Ok(match transact(chain, block, probe.name, TxKind::Create, init_code)? {
        ExecutionResult::Success { output, .. } => Outcome::Returned(output.into_data()),
        _ => Outcome::Failed,
    })
}

fn transact(
    chain: &ChainPreset,
    block: &BlockPin,
    probe: &'static str,
    kind: TxKind,
    data: Bytes,
) -> Result<ExecutionResult, SelfTestError> {
    let failed = |reason: String| SelfTestError::Probe { probe, reason };
    let tx = TxEnv::builder()
        .kind(kind)
        .data(data)
        .gas_limit(GAS)
        .gas_price(0)
        .chain_id(Some(chain.chain_id))
        .build()
        .map_err(|error| failed(format!("{error:?}")))?;
    let mut evm = Context::mainnet()
        .with_db(EmptyDB::default())
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(spec(chain));
            cfg.chain_id = chain.chain_id;
            cfg.disable_nonce_check = true;
            cfg.disable_balance_check = true;
            cfg.disable_base_fee = true;
        })
        .with_block(block.env_at(Moment { number: block.number + 1, timestamp: block.timestamp }))
        .build_mainnet()
        .with_precompiles(precompiles(chain));
    evm.transact_one(tx).map_err(|error| failed(error.to_string()))
}

/// Init code that returns the gas between two looks, and the word that `body` leaves on the stack.
fn measured(body: &[u8]) -> Vec<u8> {
    let mut code = vec![opcode::GAS];
    code.extend(body);
    code.extend(TAIL);
    code.extend([opcode::PUSH1, 0x40, opcode::PUSH1, 0, opcode::RETURN]);
    code
}

/// From `[gas before, word]` on the stack to both in memory, the gas first: code may not begin with 0xef, nor does it.
const TAIL: [u8; 10] = [
    opcode::GAS,
    opcode::SWAP1,
    opcode::PUSH1,
    0x20,
    opcode::MSTORE,
    opcode::SWAP1,
    opcode::SUB,
    opcode::PUSH1,
    0,
    opcode::MSTORE,
];

/// Init code that calls a precompile, and returns what that cost, whether it succeeded, and the hash of its answer.
fn precompile(number: u16, input: &[u8]) -> Vec<u8> {
    let length = u16::try_from(input.len()).unwrap_or(u16::MAX).to_be_bytes();
    let push2 = |word: [u8; 2]| [opcode::PUSH2, word[0], word[1]];
    let before = |at: u16| {
        let mut code = Vec::new();
        code.extend(push2(length));
        code.extend(push2(at.to_be_bytes()));
        code.extend([opcode::PUSH1, 0x80, opcode::CODECOPY, opcode::GAS]);
        code.extend([opcode::PUSH1, 0, opcode::PUSH1, 0]);
        code.extend(push2(length));
        code.extend([opcode::PUSH1, 0x80]);
        code.extend(push2(number.to_be_bytes()));
        code.push(opcode::PUSH4);
        code.extend(PRECOMPILE_GAS.to_be_bytes());
        code.push(opcode::STATICCALL);
        code.extend(TAIL);
        code.extend([opcode::RETURNDATASIZE, opcode::PUSH1, 0, opcode::PUSH1, 0x80, opcode::RETURNDATACOPY]);
        code.extend([opcode::RETURNDATASIZE, opcode::PUSH1, 0x80, opcode::KECCAK256]);
        code.extend([opcode::PUSH1, 0x40, opcode::MSTORE, opcode::PUSH1, 0x60, opcode::PUSH1, 0, opcode::RETURN]);
        code
    };
    // The input lies behind the code, whose length does not depend on where that is.
    let at = u16::try_from(before(0).len()).unwrap_or(u16::MAX);
    [before(at), input.to_vec()].concat()
}

fn probes() -> Vec<Probe> {
    let opcodes: [(&'static str, &[u8]); 16] = [
        ("PUSH0 (Shanghai)", &[opcode::PUSH0]),
        ("MCOPY (Cancun)", &hex!("60406080604051805e6001")),
        ("TSTORE and TLOAD (Cancun)", &hex!("600760015d60015c")),
        ("BLOBHASH (Cancun)", &hex!("600049")),
        ("BLOBBASEFEE (Cancun)", &hex!("4a506001")),
        ("BASEFEE (London)", &hex!("48506001")),
        ("CLZ (Osaka)", &hex!("60011e")),
        ("0x4b (not defined by Osaka)", &[0x4b]),
        ("0x0c (not defined)", &[0x0c]),
        ("cold SLOAD", &hex!("600754")),
        ("warm SLOAD", &hex!("6007545060075460075401")),
        ("SSTORE of a new slot", &hex!("60016007556007546007545050600760075560ff")),
        ("cold BALANCE", &hex!("61123431")),
        ("cold EXTCODESIZE", &hex!("6112343b")),
        ("EXP", &hex!("62ffffff60020a")),
        ("KECCAK256", &hex!("610100600020")),
    ];
    let mut probes: Vec<_> =
        opcodes.into_iter().map(|(name, body)| Probe { name, init_code: measured(body) }).collect();
    probes.extend(precompile_probes());
    probes
}

fn precompile_probes() -> impl Iterator<Item = Probe> {
    let zeros = |length: usize| vec![0; length];
    let blake = |rounds: u32| [&rounds.to_be_bytes()[..], &[0; 208], &[1]].concat();
    let modexp = |length: u64, byte: u8| {
        let mut input = Vec::new();
        for _ in 0..3 {
            input.extend([0; 24]);
            input.extend(length.to_be_bytes());
        }
        input.extend((0..3 * length).map(|index| byte.wrapping_add(u8::try_from(index % 251).unwrap_or_default())));
        input
    };
    let generator = [&[0; 31][..], &[1], &[0; 31], &[2]].concat();
    [
        ("ecrecover (0x1)", 1, hex!("456e9aea5e197a1f1af7a3e85a3212fa4049a3ba34c2289b4c860fc0b0c64ef3000000000000000000000000000000000000000000000000000000000000001c9242685bf161793cc25603c231bc2f568eb630ea16aa137d2664ac80388256084f8ae3bd7535248d0bd448298cc2e2071e56992d0774dc340c368ae950852ada").to_vec()),
        ("sha256 (0x2)", 2, keccak256("sha256").to_vec()),
        ("ripemd160 (0x3)", 3, keccak256("ripemd160").to_vec()),
        ("identity (0x4)", 4, keccak256("identity").to_vec()),
        ("modexp of 1 byte (0x5)", 5, modexp(1, 3)),
        ("modexp of 64 bytes (0x5)", 5, modexp(64, 5)),
        ("bn254 addition (0x6)", 6, [generator.clone(), generator.clone()].concat()),
        ("bn254 multiplication (0x7)", 7, [generator, keccak256("scalar").to_vec()].concat()),
        ("bn254 pairing (0x8)", 8, Vec::new()),
        ("blake2f (0x9)", 9, blake(12)),
        ("KZG point evaluation (0xa)", 0x0a, zeros(192)),
        ("BLS12-381 G1 addition (0xb, Prague)", 0x0b, zeros(256)),
        ("BLS12-381 G2 addition (0xd, Prague)", 0x0d, zeros(512)),
        ("BLS12-381 pairing (0xf, Prague)", 0x0f, zeros(384)),
        ("0x12 (no precompile)", 0x12, zeros(32)),
        ("P256VERIFY (0x100, Osaka or RIP-7212)", 0x100, hex!("4cee90eb86eaa050036147a12d49004b6b9c72bd725d39d4785011fe190f0b4da73bd4903f0ce3b639bbbf6e8e80d16931ff4bcf5993d58468e8fb19086e8cac36dbcd03009df8c59286b162af3bd7fcc0450c9aa81be5d10d312af6c66b1d604aebd3099c618202fcfe16ae7770b0c49ab5eadf74b754204a3bb6060e44eff37618b065f9832de4ca6ca971a7a1adc826d0f7c00181a5fb2ddf79ae00b4e10e").to_vec()),
    ]
    .into_iter()
    .map(|(name, number, input)| Probe { name, init_code: precompile(number, &input) })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, U256};
    use erc4337::Hardfork;

    use super::*;

    fn block() -> BlockPin {
        BlockPin {
            hash: B256::ZERO,
            parent: B256::ZERO,
            number: 1,
            timestamp: 1,
            millis: None,
            seen: std::time::Duration::ZERO,
            gas_limit: 30_000_000,
            beneficiary: Address::ZERO,
            next_base_fee: 7,
            prevrandao: B256::ZERO,
        }
    }

    fn words(chain: &ChainPreset, name: &str) -> Option<Vec<u64>> {
        let probe = probes().into_iter().find(|probe| probe.name.starts_with(name)).unwrap();
        match here(chain, &block(), &probe).unwrap() {
            Outcome::Returned(bytes) => {
                Some(bytes.chunks(32).map(|word| U256::from_be_slice(word).wrapping_to()).collect())
            }
            Outcome::Failed => None,
        }
    }

    #[test]
    fn probes_tell_hardforks_and_precompiles_apart() {
        let osaka = ChainPreset::local();
        let prague = ChainPreset { hardfork: Hardfork::Prague, ..ChainPreset::local() };
        let without_p256 = ChainPreset { p256: false, ..prague.clone() };
        assert!(words(&osaka, "CLZ").is_some() && words(&prague, "CLZ").is_none());
        let p256 = [&osaka, &prague, &without_p256].map(|chain| words(chain, "P256").unwrap());
        assert_eq!(p256[0][1], 1, "the call succeeds");
        assert_eq!(p256[0][0] - p256[1][0], 6_900 - 3_450, "Osaka's costs more than RIP-7212's");
        assert_eq!(p256[0][2], p256[1][2], "and says the same");
        assert_ne!(p256[1][2], p256[2][2], "which nothing does not");
    }

    #[test]
    fn probes_measure_what_they_are_named_for() {
        let chain = ChainPreset::local();
        // Two looks at the gas are 2 apart; pushes cost 3.
        assert_eq!(words(&chain, "cold SLOAD"), Some(vec![2 + 3 + 2_100, 0]));
        assert_eq!(words(&chain, "KECCAK256").unwrap()[0], 2 + 6 + 30 + 6 * 8 + memory(8));
        assert_eq!(words(&chain, "ecrecover").unwrap()[1], 1);
        assert_eq!(words(&chain, "0x0c"), None);
        assert_eq!(words(&chain, "0x4b"), None);
    }

    /// Gas of the first words of memory.
    fn memory(words: u64) -> u64 {
        3 * words + words * words / 512
    }
}
