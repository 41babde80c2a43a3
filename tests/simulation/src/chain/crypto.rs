//! Recovering who signed is what EVMs do most here, and each signature is looked at a dozen times: by admission, by each
//! validation again, by proofs, by the chain. What came of it once is remembered.

use std::{cell::RefCell, collections::HashMap, sync::Once};

use revm::precompile::{Crypto, DefaultCrypto, PrecompileHalt, install_crypto};

/// Signature, recovery id and digest.
type Signed = ([u8; 64], u8, [u8; 32]);

thread_local! {
    static RECOVERED: RefCell<HashMap<Signed, Option<[u8; 32]>>> = RefCell::default();
}

#[derive(Debug)]
struct Remembering;

impl Crypto for Remembering {
    fn secp256k1_ecrecover(&self, sig: &[u8; 64], recid: u8, msg: &[u8; 32]) -> Result<[u8; 32], PrecompileHalt> {
        let recovered = RECOVERED.with_borrow_mut(|all| {
            *all.entry((*sig, recid, *msg)).or_insert_with(|| DefaultCrypto.secp256k1_ecrecover(sig, recid, msg).ok())
        });
        recovered.ok_or(PrecompileHalt::Secp256k1RecoverFailed)
    }
}

/// For all EVMs of the process; what this thread remembers of an earlier world is forgotten.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        install_crypto(Remembering);
    });
    RECOVERED.with_borrow_mut(HashMap::clear);
}
