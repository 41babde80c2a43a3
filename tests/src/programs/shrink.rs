//! The least operation that still shows something.

use anyhow::Result;

use super::{
    piece::Piece,
    scenario::{Actor, Scenario},
};

/// Takes pieces away one at a time as long as `holds`, which is asked about many candidates at once.
///
/// # Errors
/// Those of `holds`.
pub async fn shrink(
    mut scenario: Scenario,
    mut holds: impl AsyncFnMut(&[Scenario]) -> Result<Vec<bool>>,
) -> Result<Scenario> {
    loop {
        let candidates = smaller(&scenario);
        let held = holds(&candidates).await?;
        match candidates.into_iter().zip(held).find(|(_, held)| *held) {
            Some((candidate, _)) => scenario = candidate,
            None => return Ok(scenario),
        }
    }
}

/// All that are smaller by one thing, the largest things first.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Scenario)| {
        let mut candidate = scenario.clone();
        change(&mut candidate);
        if candidate != *scenario {
            all.push(candidate);
        }
    };
    add(&|candidate| candidate.factory = None);
    add(&|candidate| candidate.paymaster = None);
    add(&|candidate| candidate.delegation = None);
    let actors: [fn(&mut Scenario) -> Option<&mut Actor>; 3] =
        [|s| Some(&mut s.account), |s| s.factory.as_mut(), |s| s.paymaster.as_mut()];
    for actor in actors {
        let Some(programs) = actor(&mut scenario.clone()).map(|actor| without_one(&actor.program)) else { continue };
        add(&|candidate| actor(candidate).into_iter().for_each(|actor| actor.program.clear()));
        for program in programs {
            add(&|candidate| actor(candidate).into_iter().for_each(|actor| actor.program.clone_from(&program)));
        }
        add(&|candidate| actor(candidate).into_iter().for_each(|actor| actor.stake = None));
    }
    all
}

/// All programs with one piece less: gone, out of the call that it was in, or by a shorter way.
fn without_one(program: &[Piece]) -> Vec<Vec<Piece>> {
    let mut all = Vec::new();
    for index in 0..program.len() {
        let with = |instead: &[Piece]| [&program[..index], instead, &program[index + 1..]].concat();
        all.push(with(&[]));
        match &program[index] {
            Piece::Inner { kind, gas, body } => {
                let bodies = without_one(body).into_iter();
                all.extend(bodies.map(|body| with(&[Piece::Inner { kind: *kind, gas: *gas, body }])));
            }
            Piece::Store { access, slot, at, route } if route.len() > 1 => {
                all.extend((0..route.len()).map(|hop| {
                    let mut route = route.clone();
                    route.remove(hop);
                    with(&[Piece::Store { access: *access, slot: slot.clone(), at: *at, route }])
                }));
            }
            _ => {}
        }
    }
    all
}
