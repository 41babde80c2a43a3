//! Ready-made rules for the marketplace (`MarketplacePolicy.sol`), and for streaming sessions with vouchers.

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::{SolCall, eip712_domain},
};
use erc4337::abi::{
    job_marketplace::{acceptResultCall, cancelJobCall, expireJobCall, postJobCall},
    payment_escrow::withdrawCall,
    session_marketplace::{closeWithHostCall, finishCloseCall, openSessionCall, startCloseCall, topUpCall},
    test_usdc::approveCall,
};

use super::{ArgumentRule, CallRule, Condition, Policy, SpendLimit, VoucherRight};

/// Room for a job's fields and an input URI of 512 bytes.
const MAX_POST_JOB: u32 = 4 + 10 * 32 + 512;
/// Room for a quote, its host's signature of up to 1,024 bytes and the other arguments.
const MAX_OPEN_SESSION: u32 = 4 + 13 * 32 + 1024;

/// Where the marketplace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marketplace {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// What jobs are paid in.
    pub token: Address,
    /// Takes the payments.
    pub escrow: Address,
    /// Where jobs are posted.
    pub jobs: Address,
    /// Where streaming sessions are opened.
    pub sessions: Address,
}

/// The EIP-712 type of the marketplace's vouchers.
pub fn voucher_type_hash() -> B256 {
    keccak256("Voucher(bytes32 sessionId,uint256 cumulativeAmount,uint256 tokens,bytes32 transcriptRoot)")
}

impl Marketplace {
    /// The EIP-712 domain of the SessionMarketplace.
    pub fn session_domain(&self) -> alloy::sol_types::Eip712Domain {
        eip712_domain! {
            name: "Fabstir SessionMarketplace",
            version: "1",
            chain_id: self.chain_id,
            verifying_contract: self.sessions,
        }
    }
}

impl Policy {
    /// May spend so much a period, and so much in all, on jobs; refunds go only to the account.
    #[must_use]
    pub fn with_jobs(mut self, at: &Marketplace, per_period: u128, total: u128) -> Self {
        let approvals = self.limit(SpendLimit { token: at.token, per_period, total });
        let jobs = self.limit(SpendLimit { token: at.token, per_period, total });
        self.calls.extend([
            counted(rule(at.token, approveCall::SELECTOR, 68), approvals, 1, vec![word(0, at.escrow)]),
            // The job is a struct with a string in it: the first word says where it starts, and must say "right here".
            counted(
                rule(at.jobs, postJobCall::SELECTOR, MAX_POST_JOB),
                jobs,
                3,
                vec![equal(0, B256::with_last_byte(0x20)), word(2, at.token)],
            ),
            rule(at.jobs, cancelJobCall::SELECTOR, 36),
            rule(at.jobs, acceptResultCall::SELECTOR, 36),
            rule(at.jobs, expireJobCall::SELECTOR, 36),
            refund(at),
        ]);
        self
    }

    /// May open streaming sessions with deposits of so much a period and in all, and sign vouchers of at most
    /// `max_voucher` base units each. What a session costs is bounded by its deposit.
    #[must_use]
    pub fn with_streaming(mut self, at: &Marketplace, per_period: u128, total: u128, max_voucher: U256) -> Self {
        // The first rule that allows a call counts it: a second one for the same approvals would never be asked, and
        // every operation carries the whole policy.
        let is_approval = |rule: &CallRule| {
            rule.target == at.token && rule.selector == approveCall::SELECTOR && rule.arguments == [word(0, at.escrow)]
        };
        if !self.calls.iter().any(is_approval) {
            let approvals = self.limit(SpendLimit { token: at.token, per_period, total });
            self.calls.push(counted(rule(at.token, approveCall::SELECTOR, 68), approvals, 1, vec![word(0, at.escrow)]));
        }
        if !self.calls.contains(&refund(at)) {
            self.calls.push(refund(at));
        }
        let deposits = self.limit(SpendLimit { token: at.token, per_period, total });
        self.calls.extend([
            // The quote's nine words come first: its token is word 3, the deposit word 10, the voucher key word 11.
            // Vouchers must be signed for the account, which caps them, or by the session's own key.
            counted(
                rule(at.sessions, openSessionCall::SELECTOR, MAX_OPEN_SESSION),
                deposits,
                10,
                vec![
                    word(3, at.token),
                    equal(9, B256::from(U256::from(12 * 32))),
                    ArgumentRule { word: 11, must_be: Condition::Account },
                ],
            ),
            counted(rule(at.sessions, topUpCall::SELECTOR, 68), deposits, 1, vec![]),
            rule(at.sessions, closeWithHostCall::SELECTOR, 4 + 5 * 32 + 1024),
            rule(at.sessions, startCloseCall::SELECTOR, 36),
            rule(at.sessions, finishCloseCall::SELECTOR, 36),
        ]);
        self.vouchers.push(VoucherRight {
            domain_separator: at.session_domain().separator(),
            type_hash: voucher_type_hash(),
            amount_field: 1,
            max_amount: max_voucher,
        });
        self
    }

    /// Adds a limit; its number, from 1.
    fn limit(&mut self, limit: SpendLimit) -> u8 {
        self.limits.push(limit);
        u8::try_from(self.limits.len()).unwrap_or(u8::MAX)
    }
}

/// What is credited may only be withdrawn to the account.
fn refund(at: &Marketplace) -> CallRule {
    let mut rule = rule(at.escrow, withdrawCall::SELECTOR, 100);
    rule.arguments = vec![ArgumentRule { word: 1, must_be: Condition::Account }];
    rule
}

fn rule(target: Address, selector: [u8; 4], max_length: u32) -> CallRule {
    CallRule {
        target,
        selector: selector.into(),
        max_length,
        value_limit: 0,
        amount_limit: 0,
        amount_word: 0,
        arguments: vec![],
    }
}

fn counted(mut rule: CallRule, limit: u8, word: u8, arguments: Vec<ArgumentRule>) -> CallRule {
    (rule.amount_limit, rule.amount_word, rule.arguments) = (limit, word, arguments);
    rule
}

fn word(word: u8, address: Address) -> ArgumentRule {
    equal(word, address.into_word())
}

fn equal(word: u8, value: B256) -> ArgumentRule {
    ArgumentRule { word, must_be: Condition::OneOf(vec![value]) }
}
