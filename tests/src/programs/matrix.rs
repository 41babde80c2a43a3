//! Every snippet in every phase, staked and not, in every version, with its twin.

use alloy::primitives::{Address, U256};
use erc4337::{EntryPointVersion, UserOperation};

use super::{
    asm::op,
    calls::calls,
    piece::{Piece, Who, Word},
    scenario::{Entity, Placement, Scenario, Stake, names},
    snippet::{Expected, Setting, Snippet, opcodes},
    storage::storage,
};

/// An operation and what the bundler must say of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Like a line of the specification.
    pub name: String,
    /// What it breaks, if anything, and who.
    pub rule: Option<(&'static str, Entity)>,
    /// The code of the refusal; none if that is left open.
    pub code: Option<i32>,
    /// Of the EntryPoint.
    pub version: EntryPointVersion,
    /// The EntryPoint.
    pub entry_point: Address,
    /// The operation.
    pub op: UserOperation,
    /// What must be on the chain for it.
    pub placement: Placement,
}

/// All snippets.
pub fn snippets() -> Vec<Snippet> {
    [opcodes(), calls(), storage()].concat()
}

/// All cases; `entry_point` says where each version is.
pub fn matrix(entry_point: impl Fn(EntryPointVersion) -> Address) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, rule, code, scenario: &Scenario| {
        let (version, entry_point) = (scenario.version, entry_point(scenario.version));
        let placement = scenario.place(&name, entry_point);
        let op = placement.op.clone();
        cases.push(Case { name, rule, code, version, entry_point, op, placement });
    };
    for (index, snippet) in snippets().iter().enumerate() {
        for setting in settings(snippet, index) {
            let name = format!("{}: {}", describe(&setting), snippet.name);
            match snippet.expect(&setting) {
                Expected::Meaningless => {}
                Expected::Lawful => {
                    add(format!("{name} is lawful"), None, None, &scenario(&setting, &snippet.pieces, snippet));
                }
                Expected::Breaks(rule) => {
                    let rule = Some((rule, setting.entity));
                    let scene = scenario(&setting, &snippet.pieces, snippet);
                    add(name.clone(), rule, Some(-32502), &scene);
                    if let Some(twin) = &snippet.twin {
                        add(format!("{name}, lawful twin"), None, None, &scenario(&setting, twin, snippet));
                    }
                }
            }
        }
    }
    for (name, rule, code, scenario) in stakes().into_iter().chain(paymasters()).chain(creations_for_paymasters()) {
        add(name, rule, code, &scenario);
    }
    cases
}

/// Where a snippet is tried. Creation is tried where it matters, by one version each in turn.
fn settings(snippet: &Snippet, index: usize) -> Vec<Setting> {
    let mut settings = Vec::new();
    // Another entity's storage needs that entity.
    let factory = names(&snippet.pieces, Who::Factory);
    for version in EntryPointVersion::ALL {
        let creations: &[Option<bool>] = match () {
            () if factory => &[Some(false), Some(true)],
            () if snippet.mind_creation && version == EntryPointVersion::ALL[index % 4] => {
                &[None, Some(false), Some(true)]
            }
            () => &[None],
        };
        for staked in [false, true] {
            settings.push(Setting { version, entity: Entity::Factory, staked, creating: Some(staked) });
            for entity in [Entity::Account, Entity::Paymaster] {
                settings.extend(creations.iter().map(|&creating| Setting { version, entity, staked, creating }));
            }
        }
    }
    settings
}

fn describe(setting: &Setting) -> String {
    let Setting { version, entity, staked, creating } = setting;
    let stake = if *staked { "staked" } else { "unstaked" };
    let made_by = match creating {
        Some(_) if *entity == Entity::Factory => "",
        Some(true) => " with a staked factory",
        Some(false) => " with an unstaked factory",
        None => "",
    };
    format!("{version} {stake} {entity}{made_by}")
}

fn scenario(setting: &Setting, program: &[Piece], snippet: &Snippet) -> Scenario {
    let mut scenario = Scenario::new(setting.version);
    if let Some(staked) = setting.creating {
        scenario.actor(Entity::Factory).stake = staked.then(Stake::enough);
    }
    if names(&snippet.pieces, Who::Paymaster) {
        scenario.actor(Entity::Paymaster);
    }
    let actor = scenario.actor(setting.entity);
    actor.stake = setting.staked.then(Stake::enough);
    // Storage of the sender is reached by its code.
    let reaches = |piece: &Piece| matches!(piece, Piece::Store { at: Who::Sender, .. });
    if setting.entity == Entity::Factory && program.iter().any(reaches) {
        actor.program.push(Piece::CreateSender);
    }
    actor.program.extend_from_slice(program);
    scenario
}

type StakeCase = (String, Option<(&'static str, Entity)>, Option<i32>, Scenario);

/// Sender and factory create because the paymaster calls them. "If there is a `factory`, even an unstaked one, the `sender`
/// contract is allowed to use the `CREATE` opcode" (OP-032), and "If the factory is staked, either the factory itself or
/// the sender may use the `CREATE2` and `CREATE` opcodes" (EREP-060): in whose phase is not asked.
fn creations_for_paymasters() -> Vec<StakeCase> {
    let zeros =
        |count: usize, salt| [vec![Word::Literal(U256::ZERO); count], vec![Word::Literal(U256::from(salt))]].concat();
    let create = Piece::Op(op::CREATE, zeros(2, 0), None);
    let create2 = Piece::Op(op::CREATE2, zeros(3, 77), None);
    let mut cases = Vec::new();
    for version in EntryPointVersion::ALL {
        for factory in [None, Some(false), Some(true)] {
            for (who, by) in [(Who::Sender, "sender"), (Who::Factory, "factory")] {
                if who == Who::Factory && factory.is_none() {
                    continue;
                }
                for (name, piece, otherwise) in [("create", &create, "OP-011"), ("create2", &create2, "OP-031")] {
                    let lawful = factory == Some(true) || name == "create" && who == Who::Sender && factory.is_some();
                    let mut scenario = Scenario::new(version);
                    if let Some(staked) = factory {
                        scenario.actor(Entity::Factory).stake = staked.then(Stake::enough);
                    }
                    scenario.actor(Entity::Paymaster).program.push(Piece::By { who, body: vec![piece.clone()] });
                    let rule = (!lawful).then_some((otherwise, Entity::Paymaster));
                    let name = format!(
                        "{version} {name} by the {by} in the paymaster's phase, staked factory {factory:?}: op_032, erep_060"
                    );
                    cases.push((name, rule, rule.map(|_| -32502), scenario));
                }
            }
        }
    }
    cases
}

/// What paymasters return, and are: EREP-050, LIM-020, AUTH-020.
fn paymasters() -> Vec<StakeCase> {
    let mut cases = Vec::new();
    for version in EntryPointVersion::ALL {
        for staked in [false, true] {
            for context in [0, 32, 2_048, 2_049] {
                let rule = match (staked, context) {
                    (_, 2_049) => Some("LIM-020"),
                    (false, 1..) => Some("EREP-050"),
                    _ => None,
                };
                let mut scenario = Scenario::new(version);
                scenario.context = context;
                scenario.actor(Entity::Paymaster).stake = staked.then(Stake::enough);
                let (code, rule) = (rule.map(|_| -32502), rule.map(|rule| (rule, Entity::Paymaster)));
                let stake = if staked { "staked" } else { "unstaked" };
                cases.push((format!("{version} {stake} paymaster: context of {context} bytes"), rule, code, scenario));
            }
            for delegated in [false, true] {
                let mut scenario = Scenario::new(version);
                scenario.delegated_paymaster = delegated;
                scenario.actor(Entity::Paymaster).stake = staked.then(Stake::enough);
                let rule = delegated.then_some(("AUTH-020", Entity::Paymaster));
                let name = format!("{version} paymaster with delegation {delegated}, staked {staked}: auth_020");
                cases.push((name, rule, rule.map(|_| -32502), scenario));
            }
        }
    }
    cases
}

/// Stakes that are not enough, and what they would have made lawful.
fn stakes() -> Vec<StakeCase> {
    let enough = Stake::enough();
    let stakes = [
        ("too low", Stake { wei: U256::from(1), ..enough }, Some(-32505)),
        ("too short", Stake { delay: 86_399, ..enough }, Some(-32505)),
        ("unlocked", Stake { locked: false, ..enough }, None),
    ];
    let wanted =
        ["sto_031_own_by_sload", "sto_032_entitys_first_by_sstore", "sto_033_any_by_tload", "op_080_selfbalance"];
    let snippets: Vec<Snippet> =
        snippets().into_iter().filter(|snippet| wanted.contains(&snippet.name.as_str())).collect();
    let mut cases = Vec::new();
    for version in EntryPointVersion::ALL {
        for (what, stake, code) in stakes {
            for entity in Entity::ALL {
                for snippet in &snippets {
                    let creating = (entity == Entity::Factory).then_some(false);
                    let setting = Setting { version, entity, staked: false, creating };
                    let Expected::Breaks(rule) = snippet.expect(&setting) else { continue };
                    let mut scenario = scenario(&setting, &snippet.pieces, snippet);
                    scenario.actor(entity).stake = Some(stake);
                    // No stake of an account opens storage: none is asked for.
                    let in_vain = entity == Entity::Account && rule == "STO-033";
                    let code = if in_vain { code.map(|_| -32502) } else { code };
                    let name = format!("{version} {entity} with a stake that is {what}: {}", snippet.name);
                    cases.push((name, Some((rule, entity)), code, scenario));
                }
            }
        }
    }
    cases
}
