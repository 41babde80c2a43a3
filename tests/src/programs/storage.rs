//! Snippets about storage: whose, at which slot, read or written, persistent or transient (OP-070).

use alloy::primitives::U256;

use super::{
    piece::{Access, CallKind, Piece, Who, Word},
    scenario::Entity,
    snippet::{Expected, Setting, Snippet, inner, number},
};

/// Whose storage is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// The account's.
    Sender,
    /// The phase's own entity's.
    Own,
    /// That entity's, which is neither of the two.
    Of(Entity),
    /// No entity's.
    Outside,
}

/// Whom the slot is associated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as it says")]
pub enum Association {
    Sender,
    Entity,
    None,
}

/// An access, as the storage rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as it says")]
pub struct Reach {
    pub contract: Contract,
    pub association: Association,
    pub writes: bool,
}

/// The list of docs/erc-7562.md, once more.
fn judge(setting: &Setting, snippet: &Snippet) -> Expected {
    let Some(reach) = snippet.storage else { return Expected::Meaningless };
    let is_account = setting.entity == Entity::Account;
    let own_is_sender = is_account && reach.contract == Contract::Own;
    match reach.contract {
        Contract::Sender => return Expected::Lawful,
        _ if own_is_sender => return Expected::Lawful,
        Contract::Own if setting.staked => return Expected::Lawful,
        Contract::Own => return Expected::Breaks("STO-031"),
        Contract::Of(entity) if entity == setting.entity => return Expected::Meaningless,
        Contract::Of(_) => return Expected::Breaks("STO-033"),
        Contract::Outside => {}
    }
    let senders = reach.association == Association::Sender || is_account && reach.association == Association::Entity;
    let entitys = reach.association == Association::Entity || is_account && senders;
    let sender_is_open = setting.creating != Some(false);
    let opened_by_stake = setting.staked && !is_account;
    if senders && sender_is_open || opened_by_stake && (entitys || !reach.writes) {
        Expected::Lawful
    } else if senders {
        Expected::Breaks("STO-022")
    } else if entitys && !opened_by_stake {
        Expected::Breaks("STO-032")
    } else {
        Expected::Breaks("STO-033")
    }
}

/// All combinations.
pub fn storage() -> Vec<Snippet> {
    let mut snippets = Vec::new();
    for (index, access) in Access::ALL.into_iter().enumerate() {
        let mut add = |name: &str, pieces: Vec<Piece>, twin: Vec<Piece>, contract, association| {
            let name = format!("{name}_by_{access:?}").to_lowercase();
            let storage = Some(Reach { contract, association, writes: access.writes() });
            // Own storage and other entities' do not depend on how the account came to be.
            let mind_creation = contract == Contract::Outside;
            snippets.push(Snippet { name, pieces, twin: Some(twin), expected: judge, storage, mind_creation });
        };
        let store = |at, route: &[CallKind], slot| vec![Piece::Store { access, slot, at, route: route.to_vec() }];
        let (call, delegate) = (CallKind::Call, CallKind::DelegateCall);

        // The contract itself: STO-010, STO-031, STO-033 on other entities.
        let of_sender = |route: &[CallKind]| store(Who::Sender, route, number(3));
        let own = vec![Piece::Own(access, number(3))];
        add("sto_031_own", own.clone(), of_sender(&[call]), Contract::Own, Association::None);
        let at_depth = store(Who::Store, &[delegate], number(3));
        add("sto_031_own_at_depth", at_depth, of_sender(&[call, call]), Contract::Own, Association::None);
        let twice = inner(delegate, store(Who::Store, &[delegate], number(3)));
        add("sto_031_own_at_depth_2", twice, of_sender(&[call, call]), Contract::Own, Association::None);
        add("sto_010_senders", of_sender(&[call]), vec![], Contract::Sender, Association::None);
        add("sto_010_senders_at_depth", of_sender(&[delegate, call]), vec![], Contract::Sender, Association::None);
        for (name, other, entity) in
            [("factorys", Who::Factory, Entity::Factory), ("paymasters", Who::Paymaster, Entity::Paymaster)]
        {
            let route = if index % 2 == 0 { vec![call] } else { vec![delegate, call] };
            let pieces = store(other, &route, Word::associated(Who::Sender, 0, 0));
            add(&format!("sto_033_{name}"), pieces, of_sender(&route), Contract::Of(entity), Association::Sender);
        }

        // A contract that is no entity, by slot.
        let route: &[CallKind] = match access {
            Access::Sload => &[CallKind::Call],
            Access::Sstore => &[CallKind::DelegateCall, CallKind::Call],
            Access::Tload => &[CallKind::Call, CallKind::StaticCall],
            Access::Tstore => &[CallKind::Call, CallKind::DelegateCall, CallKind::Call],
        };
        let mut outside = |name: &str, slot: Word, association| {
            let pieces = store(Who::Store, route, slot);
            add(name, pieces, of_sender(route), Contract::Outside, association);
        };
        for (n, which) in [(0, "first"), (127, "last"), (128, "beyond")] {
            for (whose, who, association) in
                [("senders", Who::Sender, Association::Sender), ("entitys", Who::This, Association::Entity)]
            {
                let association = if n < 128 { association } else { Association::None };
                let rule = match association {
                    Association::Sender => "sto_022",
                    Association::Entity => "sto_032",
                    Association::None => "sto_033",
                };
                outside(&format!("{rule}_{whose}_{which}"), Word::associated(who, 5, n), association);
            }
        }
        outside("sto_022_senders_address", Word::Address(Who::Sender), Association::Sender);
        outside("sto_032_entitys_address", Word::Address(Who::This), Association::Entity);
        outside("sto_033_any", number(7), Association::None);
        outside("sto_033_strangers", Word::associated(Who::Nobody, 5, 0), Association::None);
        outside("sto_033_dirty_address", Word::Dirty(Who::Sender), Association::None);
        let words = |first, second| vec![first, second];
        let sender = || Word::Address(Who::Sender);
        let hash = |words| Word::Keccak(words, 0);
        outside("sto_033_address_in_second_place", hash(words(number(5), sender())), Association::None);
        outside("sto_033_dirty_preimage", hash(words(Word::Dirty(Who::Sender), number(5))), Association::None);
        outside("sto_033_preimage_of_96_bytes", hash(vec![sender(), number(5), number(6)]), Association::None);
        outside("sto_033_preimage_of_32_bytes", hash(vec![sender()]), Association::None);
        // `allowance[stranger][sender]` is the sender's, `allowance[sender][stranger]` is not: it is the outer key.
        let nested = |inner, outer| hash(words(Word::Address(outer), Word::associated(inner, 1, 0)));
        outside("sto_022_allowance_to_sender", nested(Who::Nobody, Who::Sender), Association::Sender);
        outside("sto_033_allowance_of_sender", nested(Who::Sender, Who::Nobody), Association::None);
        // Known beforehand, and hashed later or never.
        let foreknown = || Word::Foreknown(words(sender(), number(9)), 2);
        outside("sto_033_never_hashed", foreknown(), Association::None);
        let mut later = store(Who::Store, route, foreknown());
        later.push(Piece::Hash(Word::associated(Who::Sender, 9, 0)));
        let twin = of_sender(route);
        add("sto_022_hashed_later", later, twin, Contract::Outside, Association::Sender);
        let mut elsewhere = store(Who::Store, route, foreknown());
        elsewhere.extend(inner(CallKind::StaticCall, vec![Piece::Hash(Word::associated(Who::Sender, 9, 0))]));
        add("sto_022_hashed_at_depth", elsewhere, of_sender(route), Contract::Outside, Association::Sender);
        let wraps = Word::Literal(U256::MAX);
        add(
            "sto_033_highest_slot",
            store(Who::Store, route, wraps),
            of_sender(route),
            Contract::Outside,
            Association::None,
        );
    }
    snippets
}
