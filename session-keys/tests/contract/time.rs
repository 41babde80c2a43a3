//! Twenty-four hours of virtual time through the real EntryPoint: limits of an hour reset at its boundaries, whatever
//! order operations come in.

use alloy::primitives::U256;
use erc4337::calls;
use session_keys::{SecretKey, SessionKey};

use crate::{
    chain::Chain,
    random::START,
    stolen::{MERCHANT, merchant_policy, operation, pay},
};

const HOUR: u64 = 3_600;
const PER_HOUR: u128 = 100;
const BUNDLER: alloy::primitives::Address = alloy::primitives::Address::repeat_byte(0xb0);

#[test]
fn for_24_hours_limits_reset_exactly_at_their_boundaries_whatever_the_order_of_operations() {
    let mut chain = Chain::new(START);
    let key = SessionKey::Secp256k1(SecretKey::generate());
    let mut policy = merchant_policy(&chain, &key, HOUR, PER_HOUR, 24 * PER_HOUR);
    policy.gas_budget = u128::MAX;
    let id = policy.id().unwrap();
    let mut refused = 0;
    for hour in 0..24 {
        let start = START + hour * HOUR;
        let spent = |hours: u64| U256::from(u128::from(hours) * PER_HOUR);
        let op = |chain: &Chain, period: u64, lane: u16, sequence: u64, amount: u128| {
            let op = operation(chain, id, period, lane, sequence, calls::encode(&[pay(chain, MERCHANT, amount)]));
            chain.sign(op, &policy, &key, true)
        };
        // Signed in order, replaced once, and sent the other way round.
        let first = op(&chain, hour, 0, 0, 30);
        let replacement = op(&chain, hour, 0, 0, 40);
        let second = op(&chain, hour, 0, 1, 20);
        let other_lane = op(&chain, hour, 1, 0, 39);
        let last = op(&chain, hour, 2, 0, 1);
        let too_much = op(&chain, hour, 3, 0, 1);
        let early = op(&chain, hour + 1, 0, 0, 1);

        let mut must = |chain: &mut Chain, time: u64, op: &erc4337::UserOperation, taken: bool, what: &str| {
            chain.time = time;
            let result = chain.handle_ops(BUNDLER, std::slice::from_ref(op));
            assert_eq!(result.is_ok(), taken, "hour {hour}, {what}: {result:?}");
            refused += u32::from(!taken);
        };
        // v0.8 takes an operation after `validAfter`, not at it: the boundary itself belongs to nobody.
        must(&mut chain, start, &first, false, "the first second");
        must(&mut chain, start + 1, &second, false, "before the nonce that it follows");
        must(&mut chain, start + 1, &other_lane, true, "the other lane first");
        must(&mut chain, start + 2, &replacement, true, "the replacement instead of the first");
        must(&mut chain, start + 2, &first, false, "what was replaced");
        must(&mut chain, start + 3, &second, true, "then the one after it");
        must(&mut chain, start + 4, &early, false, "the next hour's, early");
        assert_eq!(chain.tokens(MERCHANT), spent(hour) + U256::from(99));
        must(&mut chain, start + HOUR - 1, &last, true, "the last second");
        must(&mut chain, start + HOUR - 1, &too_much, false, "one more than the limit");
        assert_eq!(chain.tokens(MERCHANT), spent(hour + 1));
        // Past its hour, an operation that would fit is worth nothing, and one more second opens no second window.
        must(&mut chain, start + HOUR, &too_much, false, "after the hour");
        let counters = chain.counters(id, 1);
        assert_eq!((counters.spent[0].period, counters.spent[0].in_period), (hour, PER_HOUR));
        // The signing service would say the same of the next.
        assert_eq!(policy.judge(id, &counters, &early, true, &chain.place).is_ok(), hour < 23);
        assert!(policy.judge(id, &counters, &too_much, true, &chain.place).is_err());
    }
    chain.time = START + 24 * HOUR + 1;
    let after = operation(&chain, id, 24, 0, 0, calls::encode(&[pay(&chain, MERCHANT, 1)]));
    let after = chain.sign(after, &policy, &key, true);
    assert!(chain.handle_ops(BUNDLER, &[after]).is_err(), "the total is reached");
    println!("24 hours: {} units, {refused} operations refused", chain.tokens(MERCHANT));
}
