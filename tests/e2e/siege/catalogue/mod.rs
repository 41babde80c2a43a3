//! Everybody who attacks, a file each.

mod abandoned_subscriptions;
mod authorizations;
mod banned_by_replacement;
mod base_fee_above_all;
mod block_ranges;
mod bundled_by_others;
mod burned_type;
mod busy_node;
mod changed_code;
mod closed_node;
mod congestion;
mod context_v06;
mod copied_bundle;
mod deaf_node;
mod exact_limits;
mod filtered;
mod flood;
mod full_blocks;
mod gap;
mod gas_opcode;
mod greedy_estimates;
mod high_s;
mod idle_gas;
mod idle_sockets;
mod l1_spike;
mod large_context;
mod let_run_out;
mod low_tip;
mod many_reads;
mod nested_mappings;
mod no_tip;
mod nonce_gap;
mod odd_times;
mod other_environment;
mod oversized;
mod paused_token;
mod paymaster_from_now;
mod penalty;
mod poor_paymaster;
mod post_op_burner;
mod random_data;
mod reorganisation;
mod replacements;
mod rising_base_fee;
mod same_block;
mod same_block_authorization;
mod same_init_code;
mod shared_slot;
mod silent_reverts;
mod slow_requests;
mod slow_validation;
mod spent_authorization;
mod swallowed;
mod tip_floor;
mod turncoat;
mod two_hashes;
mod unbound_signature;
mod unpaid_v06;
mod unstaked_context;
mod withdrawn_deposit;
mod withdrawn_stake;

mod a_hundredth;
mod banned_by_reads;
mod dearer_in_its_block;
mod false_execution;
mod flickering_paymaster;
mod floor_lane;
mod paid_by_nobody_again;
mod parked_readers;
mod same_block_crowd;
mod spent_beside_us;
mod spent_delegation;
mod through_another_bundle;

use super::Attacker;

/// All of them.
pub(super) fn catalogue() -> Vec<Box<dyn Attacker>> {
    vec![
        Box::new(abandoned_subscriptions::AbandonedSubscriptions),
        Box::new(authorizations::Authorizations),
        Box::new(banned_by_replacement::BannedByReplacement),
        Box::new(base_fee_above_all::BaseFeeAboveAll),
        Box::new(block_ranges::BlockRanges),
        Box::new(bundled_by_others::BundledByOthers),
        Box::new(burned_type::BurnedType),
        Box::new(busy_node::BusyNode),
        Box::new(changed_code::ChangedCode),
        Box::new(closed_node::ClosedNode),
        Box::new(congestion::Congestion),
        Box::new(context_v06::ContextV06),
        Box::new(copied_bundle::CopiedBundle),
        Box::new(deaf_node::DeafNode),
        Box::new(exact_limits::ExactLimits),
        Box::new(filtered::Filtered),
        Box::new(flood::Flood),
        Box::new(full_blocks::FullBlocks),
        Box::new(gap::Gap),
        Box::new(gas_opcode::GasOpcode),
        Box::new(greedy_estimates::GreedyEstimates),
        Box::new(high_s::HighS),
        Box::new(idle_gas::IdleGas),
        Box::new(idle_sockets::IdleSockets),
        Box::new(l1_spike::L1Spike),
        Box::new(large_context::LargeContext),
        Box::new(let_run_out::LetRunOut),
        Box::new(low_tip::LowTip),
        Box::new(many_reads::ManyReads),
        Box::new(nested_mappings::NestedMappings),
        Box::new(no_tip::NoTip),
        Box::new(nonce_gap::NonceGap),
        Box::new(odd_times::OddTimes),
        Box::new(other_environment::OtherEnvironment),
        Box::new(oversized::Oversized),
        Box::new(paused_token::PausedToken),
        Box::new(paymaster_from_now::PaymasterFromNow),
        Box::new(penalty::Penalty),
        Box::new(poor_paymaster::PoorPaymaster),
        Box::new(post_op_burner::PostOpBurner),
        Box::new(random_data::RandomData),
        Box::new(reorganisation::Reorganisation),
        Box::new(replacements::Replacements),
        Box::new(rising_base_fee::RisingBaseFee),
        Box::new(same_block::SameBlock),
        Box::new(same_block_authorization::SameBlockAuthorization),
        Box::new(same_init_code::SameInitCode),
        Box::new(shared_slot::SharedSlot),
        Box::new(silent_reverts::SilentReverts),
        Box::new(slow_requests::SlowRequests),
        Box::new(slow_validation::SlowValidation),
        Box::new(spent_authorization::SpentAuthorization),
        Box::new(swallowed::Swallowed),
        Box::new(tip_floor::TipFloor),
        Box::new(turncoat::Turncoat),
        Box::new(two_hashes::TwoHashes),
        Box::new(unbound_signature::UnboundSignature),
        Box::new(unpaid_v06::UnpaidV06),
        Box::new(unstaked_context::UnstakedContext),
        Box::new(withdrawn_deposit::WithdrawnDeposit),
        Box::new(withdrawn_stake::WithdrawnStake),
        Box::new(paid_by_nobody_again::PaidByNobodyAgain),
        Box::new(flickering_paymaster::FlickeringPaymaster),
        Box::new(same_block_crowd::SameBlockCrowd),
        Box::new(spent_beside_us::SpentBesideUs),
        Box::new(dearer_in_its_block::DearerInItsBlock),
        Box::new(a_hundredth::AHundredth),
        Box::new(spent_delegation::SpentDelegation),
        Box::new(false_execution::REFUND),
        Box::new(false_execution::MARGIN),
        Box::new(banned_by_reads::BannedByReads),
        Box::new(false_execution::FLOOR),
        Box::new(floor_lane::FloorLane),
        Box::new(through_another_bundle::ThroughAnotherBundle),
        Box::new(parked_readers::ParkedReaders),
    ]
}
