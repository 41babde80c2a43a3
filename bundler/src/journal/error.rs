//! Why the journal cannot be used.

/// Why the journal cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// It is none of ours, or is damaged.
    #[error(
        "journal {place} is damaged or no journal ({reason}); it is not made anew. Put back a copy of it, or, if \
         the transactions that it holds are known to be mined or cancelled, move it away: what it had accepted is lost \
         then"
    )]
    Corrupt {
        /// Where it is.
        place: String,
        /// What was found.
        reason: String,
    },
    /// Another release wrote it.
    #[error(
        "journal {place} has format {found}, this release reads {reads}; let the release that wrote it finish (stop it \
         until it says `stopped: 0 accepted operations not mined`), then move the journal away"
    )]
    Format {
        /// Where it is.
        place: String,
        /// Its format.
        found: u64,
        /// The format that is read.
        reads: u64,
    },
    /// It is of another chain.
    #[error("journal {place} is of chain {found}, this bundler is for chain {configured}")]
    Chain {
        /// Where it is.
        place: String,
        /// The chain it is of.
        found: u64,
        /// The chain that is configured.
        configured: u64,
    },
    /// Another process has it open.
    #[error("journal {0} is open in another process")]
    InUse(String),
    /// Somebody else writes it now.
    #[error("journal {place}: another process has taken it over; the token {token} is not the last")]
    Fenced {
        /// Where it is.
        place: String,
        /// Ours.
        token: u64,
    },
    /// Not written, or not known to be.
    #[error("journal: {0}")]
    Storage(String),
}
