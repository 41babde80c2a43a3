//! Rules about the job, or session, that a call is about: its state, its parties, how often it was paid for.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, Bytes},
    sol_types::SolCall,
};
use erc4337::abi::{job_marketplace, session_marketplace};

use super::batch::Step;

/// What a call may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A job of the JobMarketplace.
    Job,
    /// A session of the SessionMarketplace.
    Session,
}

impl Kind {
    /// As in policy files and bucket names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Session => "session",
        }
    }

    /// States, in the contracts' order, as policy files name them.
    pub fn states(self) -> &'static [&'static str] {
        match self {
            Self::Job => &[
                "none",
                "open",
                "claimed",
                "submitted",
                "challenged",
                "countered",
                "completed",
                "cancelled",
                "failed",
                "split",
            ],
            Self::Session => &["none", "open", "closing", "closed"],
        }
    }

    /// Calldata that asks the marketplace for it.
    pub fn question(self, id: B256) -> Bytes {
        match self {
            Self::Job => job_marketplace::jobOfCall { jobId: id }.abi_encode().into(),
            Self::Session => session_marketplace::sessionOfCall { sessionId: id }.abi_encode().into(),
        }
    }

    /// What the marketplace answered; `None` if that is nothing it should.
    pub fn read(self, answer: &[u8]) -> Option<Job> {
        match self {
            Self::Job => {
                let job = job_marketplace::jobOfCall::abi_decode_returns(answer).ok()?;
                Some(Job { payer: job.payer, host: job.host, state: job.status as usize })
            }
            Self::Session => {
                let session = session_marketplace::sessionOfCall::abi_decode_returns(answer).ok()?;
                Some(Job { payer: session.payer, host: session.host, state: session.status as usize })
            }
        }
    }
}

/// Which job or session: where it is, what it is, its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct JobKey {
    /// The marketplace.
    pub market: Address,
    /// Of it.
    pub kind: Kind,
    /// In it.
    pub id: B256,
}

/// What of a job or session decides about sponsorship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Who pays.
    pub payer: Address,
    /// Who works; zero while anyone may.
    pub host: Address,
    /// Position in [`Kind::states`].
    pub state: usize,
}

/// Jobs as they stand in one block; those that do not exist as `None`.
pub type Jobs = BTreeMap<JobKey, Option<Job>>;

/// Whose part in a job is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// Who pays for it.
    Client,
    /// Who does it.
    Host,
    /// Anyone, while it has no host.
    Candidate,
}

/// What must hold of the job that a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRule {
    /// What it is.
    pub kind: Kind,
    /// Which 32 bytes after the selector are its id.
    pub word: usize,
    /// States in which it is paid for; empty: any.
    pub states: BTreeSet<usize>,
    /// Whom it is paid for; empty: anyone.
    pub parties: BTreeSet<Party>,
    /// How many operations about it are.
    pub operations: Option<u64>,
}

/// Why a job does not allow a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobDenial {
    /// There is none.
    #[error("is about a {0} that does not exist")]
    Unknown(&'static str),
    /// In another state.
    #[error("is about a {kind} that is {state}; sponsored is {wanted}")]
    State {
        /// What it is.
        kind: &'static str,
        /// Its state.
        state: &'static str,
        /// States that are.
        wanted: String,
    },
    /// Of others.
    #[error("is about a {kind} of others; sponsored is {wanted}")]
    Party {
        /// What it is.
        kind: &'static str,
        /// Who is.
        wanted: String,
    },
}

impl JobRule {
    /// The job that the call is about, if it has room for an id.
    pub fn key(&self, step: &Step) -> Option<JobKey> {
        let id = B256::from(step.word(self.word)?);
        Some(JobKey { market: step.call.target, kind: self.kind, id })
    }

    /// Whether `sender` is paid for what it does about the job.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, step: &Step, sender: Address, jobs: &Jobs) -> Result<(), JobDenial> {
        let kind = self.kind.name();
        let job = self.key(step).and_then(|key| jobs.get(&key).copied().flatten());
        let job = job.filter(|job| job.state > 0).ok_or(JobDenial::Unknown(kind))?;
        if !self.states.is_empty() && !self.states.contains(&job.state) {
            let name = |state: usize| self.kind.states().get(state).copied().unwrap_or("in an unknown state");
            let wanted = self.states.iter().map(|state| name(*state)).collect::<Vec<_>>().join(" or ");
            return Err(JobDenial::State { kind, state: name(job.state), wanted });
        }
        let is = |party: &Party| match party {
            Party::Client => job.payer == sender,
            Party::Host => job.host == sender,
            Party::Candidate => job.host.is_zero(),
        };
        if !self.parties.is_empty() && !self.parties.iter().any(is) {
            let name = |party: &Party| match party {
                Party::Client => "its client",
                Party::Host => "its host",
                Party::Candidate => "anyone while it has no host",
            };
            let wanted = self.parties.iter().map(name).collect::<Vec<_>>().join(" or ");
            return Err(JobDenial::Party { kind, wanted });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::{super::encodings::Asked, *};

    const CLIENT: Address = Address::repeat_byte(1);
    const HOST: Address = Address::repeat_byte(2);
    const MARKET: Address = Address::repeat_byte(3);

    fn rule() -> JobRule {
        let (states, parties) = (BTreeSet::from([1, 2]), BTreeSet::from([Party::Client, Party::Host]));
        JobRule { kind: Kind::Job, word: 0, states, parties, operations: Some(2) }
    }

    fn step() -> Step {
        let data = [&[1, 2, 3, 4][..], &[9; 32]].concat().into();
        let call = Asked { target: MARKET, value: U256::ZERO, data, delegatecall: false };
        Step { path: "0".into(), call, to_itself: false }
    }

    fn jobs(host: Address, state: usize) -> Jobs {
        let key = JobKey { market: MARKET, kind: Kind::Job, id: B256::repeat_byte(9) };
        Jobs::from([(key, Some(Job { payer: CLIENT, host, state }))])
    }

    #[test]
    fn its_client_and_its_host_are_paid_for_and_others_are_not() {
        let jobs = jobs(HOST, 2);
        assert_eq!(rule().admit(&step(), CLIENT, &jobs), Ok(()));
        assert_eq!(rule().admit(&step(), HOST, &jobs), Ok(()));
        let denied = rule().admit(&step(), MARKET, &jobs);
        assert!(matches!(denied, Err(JobDenial::Party { .. })), "{denied:?}");
    }

    #[test]
    fn a_candidate_is_paid_for_while_there_is_no_host() {
        let rule = JobRule { parties: BTreeSet::from([Party::Candidate]), ..rule() };
        assert_eq!(rule.admit(&step(), MARKET, &jobs(Address::ZERO, 1)), Ok(()));
        assert!(rule.admit(&step(), MARKET, &jobs(HOST, 1)).is_err());
    }

    #[test]
    fn only_the_states_that_are_named_are_paid_for() {
        assert_eq!(rule().admit(&step(), CLIENT, &jobs(HOST, 1)), Ok(()));
        let denied = rule().admit(&step(), CLIENT, &jobs(HOST, 6)).unwrap_err();
        assert_eq!(denied.to_string(), "is about a job that is completed; sponsored is open or claimed");
    }

    #[test]
    fn a_job_that_is_not_there_is_not_paid_for() {
        assert_eq!(rule().admit(&step(), CLIENT, &Jobs::new()), Err(JobDenial::Unknown("job")));
        let mut short = step();
        short.call.data = Bytes::from_static(&[1, 2, 3, 4]);
        assert_eq!(rule().admit(&short, CLIENT, &jobs(HOST, 1)), Err(JobDenial::Unknown("job")));
    }

    #[test]
    fn states_are_named_in_the_order_of_the_contracts() {
        let sources = [
            (Kind::Job, include_str!("../../../contracts/src/marketplace/interfaces/IJobMarketplace.sol")),
            (Kind::Session, include_str!("../../../contracts/src/marketplace/interfaces/ISessionMarketplace.sol")),
        ];
        for (kind, source) in sources {
            let (_, states) = source.split_once("Status {").unwrap();
            let (states, _) = states.split_once('}').unwrap();
            let names: Vec<_> = states
                .lines()
                .map(|line| line.trim().trim_end_matches(',').to_lowercase())
                .filter(|line| !line.is_empty() && !line.starts_with("//"))
                .collect();
            assert_eq!(names, kind.states());
        }
    }
}
