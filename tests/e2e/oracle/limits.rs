//! EREP-050, LIM-010, LIM-020, LIM-030, LIM-060, LIM-070.

use alloy::primitives::{Bytes, U256};
use alloy::sol_types::SolValue;
use erc4337::UserOperation;
use tests::oracle::{Constants, Opinion, Oracle};

use super::{
    bench::{Bench, DELAY, STAKE, Scene, Sponsor},
    breaks, lawful,
};

fn none() -> Constants {
    Constants::without_limits(U256::from(STAKE), DELAY)
}

#[tokio::test(flavor = "multi_thread")]
async fn erep_050_and_lim_020_contexts_are_of_staked_paymasters_and_short() {
    let bench = Bench::start().await;
    let oracle = bench.oracle_with(Constants { max_context_size: U256::from(2_048), ..none() });
    for version in bench.versions() {
        for (staked, context, broken) in [
            (false, 0, &[][..]),
            (false, 1, &[("EREP-050", "paymaster")]),
            (true, 1, &[]),
            (true, 2_048, &[]),
            (true, 2_049, &[("LIM-020", "paymaster")]),
            (false, 2_049, &[("EREP-050", "paymaster"), ("LIM-020", "paymaster")]),
        ] {
            let sponsor = Sponsor { staked, context, ..Sponsor::default() };
            let mut op = bench.place(version, &Scene { paymaster: Some(sponsor), ..Scene::default() }).await;
            if let (true, Some(paymaster)) = (version.is_packed(), &mut op.paymaster) {
                paymaster.post_op_gas_limit = 50_000;
            }
            let said = oracle.judge(version, bench.entry_point(version), &op).await.unwrap();
            breaks(&format!("{version} {staked} {context}"), &said, broken);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lim_010_the_encoded_operation_is_8192_bytes_at_most() {
    let bench = Bench::start().await;
    let oracle = bench.oracle_with(Constants { max_user_op_size: 8_192, ..none() });
    for version in bench.versions() {
        let mut op = bench.place(version, &Scene::default()).await;
        let size = |op: &UserOperation| match version.is_packed() {
            true => op.to_packed(version).abi_encode().len(),
            false => op.to_unpacked().abi_encode().len(),
        };
        op.signature = Bytes::from(vec![1; 8_192 - size(&op)]);
        assert_eq!(size(&op), 8_192);
        let judge = async |op: &UserOperation| oracle.judge(version, bench.entry_point(version), op).await.unwrap();
        lawful("just", &judge(&op).await);
        op.signature = Bytes::from(vec![1; op.signature.len() + 1]);
        breaks("more", &judge(&op).await, &[("LIM-010", "account")]);
    }
}

/// The least of a limit that is not said to be wrong in this way; more never is.
async fn least(mut wrong: impl AsyncFnMut(u128) -> bool) -> u128 {
    let (mut low, mut high) = (0, 1_000_000);
    while low < high {
        let middle = (low + high) / 2;
        if wrong(middle).await { low = middle + 1 } else { high = middle }
    }
    low
}

#[tokio::test(flavor = "multi_thread")]
async fn lim_030_limits_exceed_what_the_entry_point_meters_by_4000() {
    let bench = Bench::start().await;
    let oracle = bench.oracle_with(Constants { validation_gas_slack: 4_000, ..none() });
    for version in bench.versions() {
        // Something to do for each: a slot of the account's own, and a hash.
        let mut scene = Scene::paymaster(false, vec![0x60, 64, 0x5f, 0x20, 0x50]);
        scene.account = vec![0x60, 1, 0x5f, 0x55];
        let op = bench.place(version, &scene).await;
        let judge = async |oracle: &Oracle, op: &UserOperation| {
            oracle.judge(version, bench.entry_point(version), op).await.unwrap()
        };
        let with = |limit: u128, of_paymaster: bool| {
            let mut op = op.clone();
            match (&mut op.paymaster, of_paymaster) {
                (Some(paymaster), true) => paymaster.verification_gas_limit = limit,
                _ => op.verification_gas_limit = limit,
            }
            op
        };
        for (name, of_paymaster) in [("account", false), ("paymaster", true)] {
            if of_paymaster && !version.is_packed() {
                continue;
            }
            let refused =
                async |limit| matches!(judge(&bench.oracle, &with(limit, of_paymaster)).await, Opinion::Failed(_));
            let enough = least(refused).await;
            let lacking = async |limit| judge(&oracle, &with(limit, of_paymaster)).await != Opinion::Judged([].into());
            let lawful_from = least(lacking).await;
            assert_eq!(lawful_from, enough + 4_000, "{version} {name}: the EntryPoint takes {enough}");
            let below = judge(&oracle, &with(lawful_from - 1, of_paymaster)).await;
            breaks(&format!("{version}"), &below, &[("LIM-030", name)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lim_060_and_070_by_the_text() {
    let bench = Bench::start().await;
    let oracle = bench.oracle_with(Constants::of_the_text(U256::from(STAKE)));
    for version in bench.versions() {
        let mut op = bench.place(version, &Scene::paymaster(false, [])).await;
        let encoded = match version.is_packed() {
            true => op.to_packed(version).abi_encode(),
            false => op.to_unpacked().abi_encode(),
        };
        assert!(encoded.len() > 300);
        let judge = async |op: &UserOperation| oracle.judge(version, bench.entry_point(version), op).await.unwrap();
        let mut broken = vec![("LIM-060", "account"), ("LIM-070", "account")];
        if version.is_packed() {
            broken.push(("LIM-060", "paymaster"));
        }
        breaks("all", &judge(&op).await, &broken);
        op.verification_gas_limit = 499_999;
        if let (true, Some(paymaster)) = (version.is_packed(), &mut op.paymaster) {
            paymaster.verification_gas_limit = 499_999;
        }
        // 16 gas a byte are enough for any.
        op.pre_verification_gas = 50_000 + 16 * encoded.len() as u128;
        lawful("none", &judge(&op).await);
        op.verification_gas_limit = 500_000;
        breaks("just", &judge(&op).await, &[("LIM-060", "account")]);
        (op.verification_gas_limit, op.pre_verification_gas) = (499_999, 50_000 + 4 * encoded.len() as u128);
        breaks("too few", &judge(&op).await, &[("LIM-070", "account")]);
    }
}
