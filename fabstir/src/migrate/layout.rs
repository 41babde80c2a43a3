//! Storage layouts, as `contracts/tools/layouts.js` writes them, and whether one may follow another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where a contract keeps what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// State variables, `slot+offset label: type`; that of an ERC-7201 namespace is its struct.
    pub storage: Vec<String>,
    /// The structs among them, by their id.
    pub structs: BTreeMap<String, Struct>,
}

/// A struct's layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Struct {
    /// Its size.
    pub bytes: String,
    /// `slot+offset label: type` from the struct's own start.
    pub fields: Vec<String>,
}

/// What would be read wrongly if code with the `old` layouts were followed by code with the `new` ones. A namespace may
/// only grow at its end. All other structs stay as they are: they lie side by side in arrays, or before other fields.
pub(super) fn refusals(old: &BTreeMap<String, Layout>, new: &BTreeMap<String, Layout>) -> Vec<String> {
    let mut refusals = Vec::new();
    for (name, before) in old {
        let Some(after) = new.get(name) else {
            refusals.push(format!("{name} is gone"));
            continue;
        };
        if before.storage != after.storage {
            refusals.push(format!("{name}: {:?} has become {:?}", before.storage, after.storage));
            continue;
        }
        for (id, structure) in &before.structs {
            let grows = before.storage.iter().any(|variable| is_of(variable, id));
            match after.structs.get(id) {
                None => refusals.push(format!("{name}: {id} is gone")),
                Some(now) if now == structure || grows && now.fields.starts_with(&structure.fields) => {}
                Some(now) => refusals.push(first_difference(name, id, &structure.fields, &now.fields)),
            }
        }
    }
    refusals
}

/// Whether `0+0 namespace: struct A.B` is of `t_struct(B)`.
fn is_of(variable: &str, id: &str) -> bool {
    let bare = id.trim_start_matches("t_struct(").trim_end_matches(')');
    variable.rsplit(['.', ' ']).next() == Some(bare)
}

fn first_difference(name: &str, id: &str, before: &[String], after: &[String]) -> String {
    let at = before.iter().zip(after).position(|(a, b)| a != b).unwrap_or(before.len().min(after.len()));
    let word = |fields: &[String]| fields.get(at).map_or_else(|| "nothing".to_owned(), |field| format!("`{field}`"));
    format!("{name}: in {id}, {} has become {}", word(before), word(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = include_str!("../../../contracts/layouts/NodeRegistry.json");

    fn registry() -> Layout {
        serde_json::from_str(REGISTRY).unwrap()
    }

    fn refused(change: impl FnOnce(&mut Layout)) -> Vec<String> {
        let mut after = registry();
        change(&mut after);
        refusals(
            &BTreeMap::from([("NodeRegistry".into(), registry())]),
            &BTreeMap::from([("NodeRegistry".into(), after)]),
        )
    }

    fn fields<'a>(layout: &'a mut Layout, id: &str) -> &'a mut Vec<String> {
        &mut layout.structs.get_mut(id).unwrap().fields
    }

    #[test]
    fn the_same_and_a_longer_namespace_may_follow() {
        assert!(refused(|_| ()).is_empty());
        assert!(
            refused(|after| fields(after, "t_struct(RegistryStorage)").push("99+0 more: uint256".into())).is_empty()
        );
        assert!(
            refused(|after| {
                let new = Struct { bytes: "32".into(), fields: vec!["0+0 a: uint256".into()] };
                after.structs.insert("t_struct(New)".into(), new);
            })
            .is_empty()
        );
    }

    #[test]
    fn fields_that_move_change_or_go_are_refused_and_named() {
        let said = refused(|after| fields(after, "t_struct(RegistryStorage)").swap(1, 2));
        assert!(said[0].contains("RegistryStorage") && said[0].contains("has become"), "{said:?}");
        assert!(!refused(|after| drop(fields(after, "t_struct(RegistryStorage)").pop())).is_empty());
        assert!(!refused(|after| fields(after, "t_struct(NodeRecord)").push("99+0 more: uint256".into())).is_empty());
        assert!(!refused(|after| drop(after.structs.remove("t_struct(Model)"))).is_empty());
        assert!(!refused(|after| after.storage.push("1+0 more: uint256".into())).is_empty());
        let gone = refusals(&BTreeMap::from([("NodeRegistry".into(), registry())]), &BTreeMap::new());
        assert_eq!(gone, ["NodeRegistry is gone"]);
    }
}
