//! Which kind of chain a test runs on.
//!
//! A test does not say. [`Anvil`](crate::Anvil) is of the kind that is set for the thread that the test runs on: by
//! default one that mines each transaction at once, on which a test makes every other block by hand; under [`on_base`],
//! Base as it is today. With [`crate::on_base!`] a file of tests names those that are to hold there too.

use std::{cell::Cell, marker::PhantomData};

use fabstir::dev::anvil::GAS_LIMIT;

thread_local! {
    static KIND: Cell<Kind> = const { Cell::new(Kind::AtOnce) };
}

/// A kind of chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A block for each transaction, at once, and no others but those that a test makes.
    AtOnce,
    /// Base since Denim: 40 million gas in a block and, once everything is deployed, a block every 200 ms, about five with
    /// the same second, half of each taken by [`Others`](crate::Others).
    Base,
}

impl Kind {
    /// That of this thread.
    pub fn here() -> Self {
        KIND.get()
    }

    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::AtOnce => &[],
            Self::Base => &["--gas-limit", GAS_LIMIT],
        }
    }
}

/// Until it is dropped, chains that this thread starts are as [`Kind::Base`].
#[derive(Debug)]
pub struct OnBase {
    before: Kind,
    /// Of this thread alone.
    _thread: PhantomData<*const ()>,
}

impl OnBase {
    /// From now on.
    pub fn begin() -> Self {
        Self { before: KIND.replace(Kind::Base), _thread: PhantomData }
    }
}

impl Drop for OnBase {
    fn drop(&mut self) {
        KIND.set(self.before);
    }
}

/// Runs a test on Base. The body of a `#[tokio::test]` is polled on the thread that calls it.
pub fn on_base(test: fn()) {
    let _base = OnBase::begin();
    test();
}

/// A name for a file or folder of a test's own: no other process has it, nor the same test on another kind of chain.
pub fn own(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("fabstir-{name}-{}-{:?}", std::process::id(), Kind::here()))
}

/// Makes of each of these tests, which stand beside it, another of the same name that runs [on Base](on_base).
#[macro_export]
macro_rules! on_base {
    ($($test:ident),+ $(,)?) => {
        mod on_base {
            $(
                #[test]
                fn $test() {
                    $crate::chain::on_base(super::$test);
                }
            )+
        }
    };
}
