//! The chain's EVM: its hardfork and its precompiles.

use std::sync::LazyLock;

use erc4337::{ChainPreset, Hardfork};
use revm::{
    handler::EthPrecompiles,
    precompile::{Precompiles, secp256r1::P256VERIFY},
    primitives::hardfork::SpecId,
};

/// Prague's precompiles and RIP-7212's, as chains had it before Osaka.
static PRAGUE_WITH_P256: LazyLock<Precompiles> = LazyLock::new(|| {
    let mut precompiles = Precompiles::prague().clone();
    precompiles.extend([P256VERIFY]);
    precompiles
});

/// revm's name of the chain's hardfork.
pub(super) fn spec(chain: &ChainPreset) -> SpecId {
    match chain.hardfork {
        Hardfork::Prague => SpecId::PRAGUE,
        Hardfork::Osaka => SpecId::OSAKA,
    }
}

/// The precompiles of the chain.
pub(super) fn precompiles(chain: &ChainPreset) -> EthPrecompiles {
    let precompiles = match (chain.hardfork, chain.p256) {
        (Hardfork::Prague, true) => &PRAGUE_WITH_P256,
        (Hardfork::Prague, false) => Precompiles::prague(),
        (Hardfork::Osaka, _) => Precompiles::osaka(),
    };
    EthPrecompiles { precompiles, spec: spec(chain) }
}
