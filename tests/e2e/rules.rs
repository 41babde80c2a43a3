//! ERC-7562: each rule broken by each entity, one at a time, and kept by its twin.

use alloy::primitives::utils::parse_ether;
use bundler::rules::Rule;
use erc4337::UserOperation;
use futures::{StreamExt, stream};
use serde_json::json;
use tests::{
    Stack,
    oracle::{Constants, Oracle},
    programs::{
        Campaign, Case, Scenario, Verdict, World,
        asm::op,
        matrix,
        piece::Piece,
        random::Random,
        shrink::shrink,
        verdict::{Refusal, send},
    },
    stack::NodeProcess,
};

/// Operations under way at once.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_is_held_against_every_entity_that_breaks_it_and_no_other() {
    judge_the_matrix(&[], |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix_holds_with_the_texts_own_values() {
    judge_the_matrix(&["--rules", "canonical"], |op| {
        // LIM-060.
        op.verification_gas_limit = 499_999;
        for paymaster in op.paymaster.iter_mut().filter(|it| it.verification_gas_limit > 0) {
            paymaster.verification_gas_limit = 499_999;
        }
    })
    .await;
}

async fn judge_the_matrix(arguments: &[&str], change: impl Fn(&mut UserOperation)) {
    let stack = stack_with(arguments).await;
    let world = World::new(&stack).await.unwrap();
    let mut cases = matrix(|version| world.entry_point(version));
    cases.iter_mut().for_each(|case| change(&mut case.op));
    let breaking = cases.iter().filter(|case| case.rule.is_some()).count();
    assert!(breaking >= 600, "{breaking} cases break a rule");
    world.place(cases.iter().map(|case| &case.placement)).await.unwrap();

    let failures: Vec<String> = stream::iter(&cases)
        .map(|case| async {
            let said = send(&stack, &case.op, case.version, case.entry_point).await.unwrap();
            complaint(case, said)
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let (failed, all) = (failures.len(), cases.len());
    assert!(failures.is_empty(), "{failed} of {all} cases, {breaking} breaking:\n{}", failures.join("\n"));
}

/// Rules that no exception is made from: what the chain's client executes cannot be run here.
const NO_EXCEPTION: [Rule; 1] = [Rule::Op062];
/// Cases of each rule that are tried without its judge.
const TRIED: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn without_the_judge_of_a_rule_the_matrix_fails() {
    // The judge of one rule after the other is out of force for whoever breaks it in some cases of the matrix. What was to
    // be refused is then taken, which the matrix would report: nothing else refuses it, and each case breaks one rule.
    let mut stack = stack().await;
    let all = matrix(|version| stack.deployment.entry_points[&version.to_string()]);
    let of = |rule: &Rule| -> Vec<&Case> {
        let breaks = |case: &&Case| case.rule.is_some_and(|(id, _)| id == rule.id());
        // Code that begins so is the client's own, from which there is no exception either.
        let cases: Vec<_> = all.iter().filter(breaks).filter(|case| !case.name.contains("op_013_ef")).collect();
        let step = cases.len().div_ceil(TRIED).max(1);
        cases.into_iter().step_by(step).collect()
    };
    let tried: Vec<(Rule, Vec<&Case>)> =
        Rule::ALL.iter().filter(|rule| !NO_EXCEPTION.contains(rule)).map(|rule| (*rule, of(rule))).collect();
    let placements = tried.iter().flat_map(|(_, cases)| cases).map(|case| &case.placement);
    World::new(&stack).await.unwrap().place(placements).await.unwrap();
    let folder = std::env::temp_dir().join(format!("fabstir-rules-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (rule, cases) in tried {
        assert!(!cases.is_empty(), "no case of the matrix breaks {rule}");
        let entities = cases.iter().flat_map(|case| {
            [Some(case.op.sender), case.op.factory(), case.op.paymaster_address()].into_iter().flatten()
        });
        let exception = |entity| format!("[[exception]]\nentity = \"{entity}\"\nrule = \"{rule}\"\n");
        let file = folder.join(rule.id());
        std::fs::write(&file, entities.map(exception).collect::<String>()).unwrap();
        let arguments = ["--debug-rpc", "--calls-per-second", "0", "--rules", file.to_str().unwrap()];
        stack.node = NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
        stack.node.ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await.unwrap();
        let mut kept = Vec::new();
        for case in &cases {
            let said = send(&stack, &case.op, case.version, case.entry_point).await.unwrap();
            match complaint(case, said.clone()) {
                Some(_) if said.is_ok() => {}
                _ => kept.push(format!("{}: {said:?}", case.name)),
            }
        }
        println!("{rule}: {} cases of the matrix fail without its judge", cases.len() - kept.len());
        assert!(kept.is_empty(), "without {rule} these are refused all the same:\n{}", kept.join("\n"));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// How many programs are judged by the oracle.
fn programs() -> usize {
    std::env::var("FABSTIR_PROGRAMS").map_or(200, |text| text.parse().unwrap())
}

/// What the dice begin with.
fn seed() -> u64 {
    std::env::var("FABSTIR_SEED").map_or(7562, |text| text.parse().unwrap())
}

/// A stack that bundles only when asked, and takes as many operations of one caller as come.
async fn stack() -> Stack {
    stack_with(&[]).await
}

async fn stack_with(arguments: &[&str]) -> Stack {
    let stack = Stack::start(&[&["--debug-rpc", "--calls-per-second", "0"], arguments].concat()).await.unwrap();
    stack.node.ask("debug_bundler_setBundlingMode", vec![json!("manual")]).await.unwrap();
    stack
}

fn oracle(stack: &Stack) -> Oracle {
    // Stakes of the programs are one ether or one wei.
    let min_stake = parse_ether("0.1").unwrap();
    // Of the limits, the one that programs meet.
    let max_context_size = Constants::of_the_text(min_stake).max_context_size;
    let constants = Constants { max_context_size, ..Constants::without_limits(min_stake, 86_400) };
    Oracle::with(&stack.anvil.url, constants).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_expects_what_the_matrix_expects() {
    let stack = stack().await;
    let (world, oracle) = (World::new(&stack).await.unwrap(), oracle(&stack));
    let mut cases = matrix(|version| world.entry_point(version));
    // The oracle takes its time: some of them, unless there is time for all.
    let step = cases.len().div_ceil(programs());
    cases = cases.into_iter().skip(seed() as usize % step).step_by(step).collect();
    world.place(cases.iter().map(|case| &case.placement)).await.unwrap();
    let failures: Vec<String> = stream::iter(&cases)
        .map(|case| async {
            let verdict = Verdict::from(oracle.judge(case.version, case.entry_point, &case.op).await.unwrap());
            let expected = case.rule.iter().map(|(rule, entity)| ((*rule).to_owned(), entity.to_string())).collect();
            let expected = Verdict::Judged(expected);
            (verdict != expected).then(|| format!("{}: {verdict:?}", case.name))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn complaint(case: &Case, said: Result<(), Refusal>) -> Option<String> {
    match (case.rule, said) {
        (None, Ok(())) => None,
        (None, Err(refusal)) => Some(format!("{}: refused: {}", case.name, refusal.words)),
        (Some((rule, entity)), Ok(())) => Some(format!("{}: accepted, breaks {rule} ({entity})", case.name)),
        (Some((rule, entity)), Err(refusal)) => {
            let entity = entity.to_string();
            let right = refusal.rule == rule
                && refusal.entity == entity
                && [-32502, -32505].contains(&refusal.code)
                && case.code.is_none_or(|code| refusal.code == code);
            (!right).then(|| format!("{}: {rule} ({entity}) wanted, {} said", case.name, refusal.words))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_programs_are_judged_by_the_bundler_as_by_the_oracle() {
    let stack = stack().await;
    let campaign = Campaign { stack: &stack, world: World::new(&stack).await.unwrap(), oracle: oracle(&stack) };
    let kept = campaign.replay().await.unwrap();
    let (seed, programs) = (seed(), programs());
    let tally = campaign.run(seed, programs).await.unwrap();
    let (failed, lawful, unjudged) = (tally.failed, tally.lawful, tally.unjudged);
    println!("seed {seed}: {} programs, {failed} failed, {lawful} lawful, {unjudged} without opinion", tally.judged);
    for ((rule, entity), times) in &tally.broken {
        println!("{times:6} {rule} by the {entity}");
    }
    for (kind, times) in &tally.kinds {
        println!("{times:6} {kind}");
    }
    let found = tally.disagreements.join("\n");
    assert!(kept.disagreements.is_empty(), "still:\n{}\nand:\n{found}", kept.disagreements.join("\n"));
    assert!(found.is_empty(), "{programs} programs of seed {seed}, {} kept ones:\n{found}", kept.judged);
    // A campaign that the EntryPoint refuses, or that breaks nothing or all, would show little.
    assert!(tally.failed * 4 < tally.judged, "{} of {} failed", tally.failed, tally.judged);
    assert!(unjudged * 100 < tally.judged, "{unjudged} of {} without opinion", tally.judged);
    assert!(tally.lawful * 20 > tally.judged, "{} of {} are lawful", tally.lawful, tally.judged);
}

#[tokio::test]
async fn a_program_is_shrunk_to_what_it_is_about() {
    let timestamp = Piece::opcode(op::TIMESTAMP);
    for seed in 0..20 {
        let mut scenario = Random::new(seed).scenario();
        scenario.account.program.push(timestamp.clone());
        let about = |scenario: &Scenario| scenario.account.program.contains(&timestamp);
        let holds = async |candidates: &[Scenario]| Ok(candidates.iter().map(about).collect());
        let least = shrink(scenario.clone(), holds).await.unwrap();
        let mut expected = Scenario::new(scenario.version);
        expected.account.program.push(timestamp.clone());
        assert_eq!(least, expected);
    }
}
