//! What is drawn from, and which tests judge each: the cheapest first.

/// Tests of one binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Judge {
    /// Unit tests of a crate whose names have this in them; `""` for all.
    Units(&'static str, &'static str),
    /// A crate's own integration tests.
    Tests(&'static str, &'static str),
    /// So many seeds of the simulated world, clusters among them.
    Seeds(u32),
    /// End-to-end tests whose names have this in them.
    EndToEnd(&'static str),
}

/// A part of the product that has a score of its own.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) name: &'static str,
    /// Files, or folders.
    pub(crate) paths: &'static [&'static str],
    pub(crate) judges: &'static [Judge],
}

use Judge::{EndToEnd, Seeds, Tests, Units};

pub(crate) const FOLDERS: [Folder; 16] = [
    Folder {
        name: "bundler/engine",
        paths: &["bundler/src/engine"],
        judges: &[
            Units("bundler", "engine::"),
            Units("bundler", ""),
            Seeds(16),
            EndToEnd("controls::"),
            EndToEnd("shutdown::"),
            EndToEnd("conditional::"),
            EndToEnd("mempool_debug::"),
            EndToEnd("alerts::"),
            EndToEnd("inclusion::"),
        ],
    },
    Folder {
        name: "bundler/flow",
        paths: &["bundler/src/flow"],
        judges: &[
            Units("bundler", "flow::"),
            Units("bundler", ""),
            Seeds(16),
            EndToEnd("conditional::"),
            EndToEnd("keys::"),
        ],
    },
    Folder {
        name: "bundler/journal",
        paths: &["bundler/src/journal"],
        judges: &[
            Units("bundler", "journal::"),
            Units("bundler", ""),
            Seeds(16),
            EndToEnd("crash::"),
            EndToEnd("shutdown::"),
        ],
    },
    Folder {
        name: "bundler/cluster",
        paths: &["bundler/src/cluster"],
        judges: &[
            Units("bundler", "cluster::"),
            Units("bundler", ""),
            Seeds(32),
            EndToEnd("scale::"),
            EndToEnd("crash::"),
        ],
    },
    Folder {
        name: "bundler/mempool",
        paths: &["bundler/src/mempool"],
        judges: &[Units("bundler", "mempool::"), Units("bundler", ""), Seeds(16), EndToEnd("mempool_")],
    },
    Folder {
        name: "bundler/builder",
        paths: &["bundler/src/builder"],
        judges: &[
            Units("bundler", "builder::"),
            Units("bundler", ""),
            Seeds(16),
            EndToEnd("profit::"),
            EndToEnd("conditional::"),
            EndToEnd("native::"),
            EndToEnd("adversary::"),
        ],
    },
    Folder {
        name: "bundler/submitter",
        paths: &["bundler/src/submitter"],
        judges: &[
            Units("bundler", "submitter::"),
            Units("bundler", ""),
            Seeds(16),
            EndToEnd("keys::"),
            EndToEnd("conditional::"),
            EndToEnd("state::"),
        ],
    },
    Folder {
        name: "bundler/follower",
        paths: &["bundler/src/follower"],
        judges: &[
            Units("bundler", "follower::"),
            Units("bundler", ""),
            Seeds(16),
            EndToEnd("index::"),
            EndToEnd("push::"),
            EndToEnd("state::"),
            EndToEnd("nodes::"),
            EndToEnd("idle::"),
        ],
    },
    Folder {
        name: "bundler/estimation",
        paths: &["bundler/src/estimation"],
        judges: &[
            Units("bundler", "estimation::"),
            Units("bundler", ""),
            EndToEnd("estimation::"),
            EndToEnd("refusals::"),
            EndToEnd("native::"),
            EndToEnd("accuracy::"),
            EndToEnd("machine::"),
        ],
    },
    Folder {
        name: "bundler/admission",
        paths: &["bundler/src/admission"],
        judges: &[
            Units("bundler", "admission::"),
            Units("bundler", ""),
            Seeds(16),
            EndToEnd("refusals::"),
            EndToEnd("rules::every"),
            EndToEnd("attacks::"),
            EndToEnd("windows::"),
            EndToEnd("state::"),
        ],
    },
    Folder {
        name: "bundler/rules",
        paths: &["bundler/src/rules"],
        judges: &[
            Units("bundler", "rules::"),
            Units("bundler", ""),
            EndToEnd("rules::"),
            EndToEnd("explain::"),
            EndToEnd("traps"),
        ],
    },
    Folder {
        name: "paymaster",
        paths: &["paymaster/src"],
        judges: &[
            Units("paymaster", ""),
            Tests("paymaster", "budgets"),
            Seeds(16),
            EndToEnd("admin::"),
            EndToEnd("policies::"),
            EndToEnd("budgets::"),
            EndToEnd("signers::"),
            EndToEnd("token_gas::"),
            EndToEnd("refusals::"),
        ],
    },
    Folder {
        name: "session-keys",
        paths: &["session-keys/src"],
        judges: &[
            Units("session_keys", ""),
            Tests("session-keys", "contract"),
            EndToEnd("session_"),
            EndToEnd("stolen::"),
        ],
    },
    Folder {
        name: "fabstir/serve",
        paths: &["fabstir/src/serve"],
        judges: &[
            Units("fabstir", "serve::"),
            Units("fabstir", ""),
            EndToEnd("limits::"),
            EndToEnd("sockets::"),
            EndToEnd("callers_are_counted"),
            EndToEnd("push::"),
        ],
    },
    Folder {
        name: "fabstir settings",
        paths: &[
            "fabstir/src/node.rs",
            "fabstir/src/bundling.rs",
            "fabstir/src/cluster.rs",
            "fabstir/src/ledger.rs",
            "fabstir/src/sponsorship.rs",
            "fabstir/src/sponsor_keys.rs",
            "fabstir/src/sessions.rs",
            "fabstir/src/chain.rs",
            "fabstir/src/keys.rs",
            "fabstir/src/duration.rs",
        ],
        judges: &[
            Units("fabstir", ""),
            EndToEnd("keys::"),
            EndToEnd("signers::"),
            EndToEnd("budgets::"),
            EndToEnd("scale::"),
            EndToEnd("nodes::"),
            EndToEnd("session_"),
            EndToEnd("policies::"),
            EndToEnd("machine::"),
        ],
    },
    Folder {
        name: "erc4337",
        paths: &["erc4337/src"],
        judges: &[
            Units("erc4337", ""),
            Tests("erc4337", "wire"),
            Tests("erc4337", "hash_vectors"),
            Tests("erc4337", "sponsorship"),
            Units("bundler", ""),
            EndToEnd("entry_points::"),
            EndToEnd("refusals::"),
        ],
    },
];
