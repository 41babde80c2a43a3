//! Every rule of ERC-7562 as it stands (`text/erc-7562.txt`), with where it is held.

use super::Rule;

/// One rule of the text.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// As the text names it.
    pub id: &'static str,
    /// How it is held here.
    pub held: Held,
}

/// How a rule is held.
#[derive(Clone, Copy, Debug)]
pub enum Held {
    /// It is judged.
    Judged {
        /// What it says, in our words.
        says: &'static str,
        /// Modules that judge it.
        by: &'static str,
        /// Tests, or cases of the rule matrix, whose names begin so or have this in them: one that keeps the rule, and one
        /// that breaks it. Cases of the matrix expect one or the other by version, entity and staking.
        tests: [&'static str; 2],
    },
    /// It cannot occur here, or is no rule any more.
    Not {
        /// Why.
        because: &'static str,
    },
}

impl Row {
    /// The judge's own name for it, if it is one that a validation breaks by itself.
    pub fn rule(&self) -> Option<Rule> {
        Rule::ALL.iter().copied().find(|rule| rule.id() == self.id)
    }
}

const fn judged(
    id: &'static str,
    says: &'static str,
    by: &'static str,
    keeps: &'static str,
    breaks: &'static str,
) -> Row {
    Row { id, held: Held::Judged { says, by, tests: [keeps, breaks] } }
}

const fn without(id: &'static str, because: &'static str) -> Row {
    Row { id, held: Held::Not { because } }
}

/// The text, row by row.
pub const TABLE: &[Row] = &[
    without("ALT-010", "there are no alternative mempools: what breaks a rule is refused"),
    without("ALT-020", "there are no alternative mempools: what breaks a rule is refused"),
    without("ALT-021", "there are no alternative mempools: what breaks a rule is refused"),
    without("ALT-030", "there are no alternative mempools: what breaks a rule is refused"),
    without("ALT-040", "there are no alternative mempools: what breaks a rule is refused"),
    without("AREP-010", "there are no alternative mempools: what breaks a rule is refused"),
    without("AREP-020", "there are no alternative mempools: what breaks a rule is refused"),
    without("AREP-030", "removed from the text"),
    judged(
        "AUTH-010",
        "An operation has one authorization at most.",
        "erc4337::UserOperation, which has room for one",
        "auth_010_one_authorization_is_read_under_either_name_or_both",
        "auth_010_a_list_of_authorizations_is_refused",
    ),
    judged("AUTH-020", "An EIP-7702 account is nothing but a sender.", "rules", "auth_020_", "auth_020_"),
    judged(
        "AUTH-030",
        "An EIP-7702 account is called and looked at only if it is the sender.",
        "rules",
        "auth_030_",
        "auth_030_",
    ),
    judged(
        "AUTH-040",
        "What is pending of one sender with an authorization delegates to one address.",
        "mempool::gate",
        "auth_040_",
        "auth_040_",
    ),
    judged(
        "COD-010",
        "The code that a validation rested on is the same at the next one.",
        "mempool::upkeep",
        "cod_010_what_became_of_the_sender_itself_is_validated_afresh",
        "cod_010_code_that_changed_since_the_first_validation_ends_the_operation",
    ),
    judged(
        "EREP-010",
        "A paymaster's deposit covers what all that is pending may cost.",
        "mempool::gate, mempool::upkeep",
        "erep_010_",
        "erep_010_",
    ),
    without("EREP-011", "removed from the text"),
    judged(
        "EREP-015",
        "A paymaster is not counted for what account or factory fail.",
        "mempool::upkeep",
        "erep_015_",
        "erep_015_",
    ),
    without("EREP-016", "there are no aggregators: an operation of one is refused (-32506)"),
    judged(
        "EREP-020",
        "A staked factory answers for the account that it makes.",
        "mempool::upkeep",
        "erep_020_",
        "erep_020_",
    ),
    judged(
        "EREP-030",
        "A staked account answers for all others of its operation.",
        "mempool::upkeep",
        "erep_030_",
        "erep_030_",
    ),
    without("EREP-040", "there are no aggregators: an operation of one is refused (-32506), staked or not"),
    judged("EREP-050", "An unstaked paymaster returns no context.", "rules", "erep_050_", "erep_050_"),
    judged(
        "EREP-055",
        "A context has the same size in the bundle, or its paymaster is banned if the bundle reverts.",
        "admission::conduct, mempool::upkeep",
        "erep_055_",
        "erep_055_",
    ),
    judged(
        "EREP-060",
        "With a staked factory, it and the sender may run CREATE and CREATE2.",
        "rules",
        "erep_060_",
        "erep_060_",
    ),
    judged("EREP-061", "What a staked factory calls may run CREATE.", "rules", "erep_061_", "erep_061_"),
    judged(
        "EREP-070",
        "A staked entity takes no less gas in the bundle than before by more than a tenth, or is throttled.",
        "admission::conduct, mempool::upkeep",
        "erep_070_",
        "erep_070_",
    ),
    judged(
        "GREP-010",
        "Who is banned is not let in, and what is pending of it goes.",
        "mempool::gate, mempool::upkeep",
        "grep_010_",
        "grep_010_",
    ),
    judged(
        "GREP-020",
        "Of who is throttled only a few operations wait, not for long, and few go in one bundle.",
        "mempool::gate, mempool::upkeep, builder::choose",
        "grep_020_",
        "grep_020_",
    ),
    without("GREP-030", "removed from the text"),
    judged(
        "GREP-040",
        "Who fails a bundle after its second validation is banned.",
        "mempool::upkeep",
        "grep_040_",
        "grep_040_",
    ),
    judged(
        "GREP-050",
        "An entity whose operation is replaced by one that does not name it gets its count back.",
        "mempool",
        "grep_050_",
        "grep_050_",
    ),
    judged("LIM-010", "An operation is no longer than MAX_USEROP_SIZE.", "admission::limits", "lim_010_", "lim_010_"),
    judged("LIM-020", "A context is no longer than MAX_CONTEXT_SIZE.", "rules", "lim_020_", "lim_020_"),
    judged("LIM-030", "Verification limits leave VALIDATION_GAS_SLACK free.", "bounds", "lim_030_", "lim_030_"),
    judged("LIM-040", "A bundle is no longer than MAX_BUNDLE_SIZE.", "builder::room", "lim_040_", "lim_040_"),
    judged(
        "LIM-050",
        "The contexts of a bundle are no longer together than MAX_BUNDLE_CONTEXT_SIZE.",
        "builder::choose",
        "lim_050_",
        "lim_050_",
    ),
    judged(
        "LIM-060",
        "Verification limits are each lower than MAX_VERIFICATION_GAS.",
        "admission::limits",
        "lim_060_",
        "lim_060_",
    ),
    judged(
        "LIM-070",
        "preVerificationGas pays for the operation's calldata and an overhead.",
        "admission::limits",
        "lim_070_",
        "lim_070_",
    ),
    judged(
        "OP-011",
        "Validation does not look at the block or the transaction, does not end a contract, and creates by CREATE only where the rules of creation let it.",
        "rules",
        "lawful twin",
        "op_011_{name}",
    ),
    judged("OP-012", "GAS is run only right before a call.", "rules", "op_012_gas_right_before_", "op_012_gas_dropped"),
    judged("OP-013", "No opcode is run that the chain does not define.", "rules", "lawful twin", "op_013_"),
    judged("OP-020", "No frame runs out of gas.", "rules", "lawful twin", "op_020_endless"),
    judged(
        "OP-031",
        "CREATE2 is run once in deployment, by the factory or what it calls, and makes the sender.",
        "rules",
        "op_031_create2_of_the_sender_by_delegatecall",
        "op_031_create2_of_another",
    ),
    judged(
        "OP-032",
        "With a factory, staked or not, the sender itself may run CREATE.",
        "rules",
        "op_032_create",
        "op_032_create",
    ),
    judged(
        "OP-041",
        "Nothing is called or looked at that has no code.",
        "rules",
        "lawful twin",
        "op_041_extcodesize_iszero",
    ),
    judged("OP-042", "A factory may call and look at the sender before it has code.", "rules", "op_042_", "op_041_"),
    judged(
        "OP-051",
        "EXTCODESIZE of the EntryPoint is allowed if ISZERO follows.",
        "rules",
        "op_051_extcodesize_iszero",
        "op_054_extcodesize",
    ),
    judged(
        "OP-052",
        "Sender and factory may call depositTo for the sender, with any value.",
        "rules",
        "op_052_deposit_",
        "op_054_deposit_",
    ),
    judged("OP-053", "The sender may send ether to the EntryPoint.", "rules", "op_053_send_", "op_053_send_"),
    judged(
        "OP-054",
        "Nothing else of the EntryPoint is called or looked at.",
        "rules",
        "op_051_extcodesize_iszero",
        "op_054_extcodehash_iszero",
    ),
    judged(
        "OP-055",
        "The sender may call incrementNonce.",
        "rules",
        "op_055_increment_nonce",
        "op_055_increment_nonce",
    ),
    judged("OP-061", "No call has a value but those to the EntryPoint.", "rules", "lawful twin", "op_061_at_depth"),
    judged(
        "OP-062",
        "Precompiles may be called that depend on nothing but their input: 0x1 to 0x11, and P256VERIFY.",
        "rules",
        "op_062_precompile_",
        "op_062_a_precompile_that_reads_the_state_is_refused",
    ),
    judged("OP-070", "Transient storage is judged as storage is.", "rules", "_by_{access:?}", "_by_{access:?}"),
    judged("OP-080", "Balances are looked at only by who is staked.", "rules", "op_080_", "op_080_"),
    judged(
        "SREP-010",
        "Staked is who has enough at stake, for long enough.",
        "rules::Standing",
        "srep_010_",
        "srep_010_",
    ),
    without("SREP-020", "moved to GREP-010"),
    without("SREP-030", "moved to GREP-020"),
    judged("SREP-040", "Who is staked and in good standing has no limit.", "mempool::gate", "srep_040_", "urep_010_"),
    without("SREP-050", "moved to GREP-040"),
    judged("STO-010", "The account's own storage may always be used.", "rules", "sto_010_senders", "sto_033_any"),
    judged(
        "STO-021",
        "Storage associated with an account that exists may be used, in contracts that are no entities.",
        "rules",
        "sto_022_senders_",
        "sto_033_any",
    ),
    judged(
        "STO-022",
        "The same of an account that is being made, if the factory is staked.",
        "rules",
        "sto_022_senders_address",
        "sto_022_senders_address",
    ),
    judged("STO-031", "A staked entity may use its own storage.", "rules", "sto_031_own", "sto_031_own"),
    judged(
        "STO-032",
        "A staked entity may use storage associated with it, in contracts that are no entities.",
        "rules",
        "sto_032_entitys_address",
        "sto_032_entitys_address",
    ),
    judged(
        "STO-033",
        "A staked entity may read any storage of contracts that are no entities.",
        "rules",
        "sto_033_any",
        "sto_033_any",
    ),
    judged(
        "STO-040",
        "A factory or paymaster is no sender of another pending operation.",
        "mempool::gate",
        "sto_040_",
        "sto_040_",
    ),
    judged(
        "STO-041",
        "No associated storage is used in a contract that is the sender of another pending operation.",
        "mempool::gate",
        "sto_041_",
        "sto_041_",
    ),
    judged("UREP-010", "Of an unstaked sender a few operations wait.", "mempool::gate", "urep_010_", "urep_010_"),
    judged(
        "UREP-020",
        "Of an unstaked paymaster as many operations wait as its inclusions have earned it.",
        "mempool::gate",
        "urep_020_",
        "urep_020_",
    ),
    without("UREP-030", "removed from the text"),
];

#[cfg(test)]
pub(super) mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The lines of one part of the list that is committed beside.
    pub(in crate::rules) fn listed(part: &str) -> Vec<String> {
        let text = include_str!("text/erc-7562.txt");
        let lines = text.lines().skip_while(|line| *line != part).skip(1);
        lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn every_rule_of_the_text_is_in_the_table_and_no_other() {
        let text = listed("# Rules");
        assert!(text.len() >= 69);
        let ids: Vec<&str> = text.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
        let table: Vec<&str> = TABLE.iter().map(|row| row.id).collect();
        assert_eq!(table, ids);
        for (line, row) in text.iter().zip(TABLE) {
            let gone = line.contains(' ');
            assert!(!gone || matches!(row.held, Held::Not { .. }), "{line}: no rule of the text any more");
        }
    }

    #[test]
    fn every_rule_that_a_validation_can_break_is_in_the_table() {
        for rule in Rule::ALL {
            assert!(TABLE.iter().any(|row| row.rule() == Some(*rule)), "{rule}");
        }
    }

    fn sources(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            // The oracle's own tests show nothing of what is judged here.
            if path.is_dir() && !path.ends_with("e2e/oracle") {
                sources(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("rules/table.rs") {
                found.push(fs::read_to_string(&path).unwrap());
            }
        }
    }

    fn below(folders: &[&str]) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        folders.iter().for_each(|folder| sources(&root.join(folder), &mut found));
        found
    }

    /// Names of the functions that are tests.
    fn names_of_tests(source: &str) -> impl Iterator<Item = &str> {
        let after = source.split("\n").scan(false, |is_test, line| {
            let line = line.trim();
            let name = line.split_once("fn ").filter(|_| *is_test).and_then(|(_, rest)| rest.split('(').next());
            *is_test = line == "#[test]" || line.starts_with("#[tokio::test") || *is_test && line.starts_with('#');
            Some(name)
        });
        after.flatten()
    }

    /// What stands in quotation marks: names of the matrix's cases among it.
    fn texts(source: &str) -> impl Iterator<Item = &str> {
        source.lines().flat_map(|line| line.split('"').skip(1).step_by(2))
    }

    #[test]
    fn every_rule_has_a_test_that_keeps_it_and_one_that_breaks_it_and_is_explained() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let tests = below(&["bundler/src", "erc4337/src", "erc4337/tests", "tests/e2e"]);
        let tests: Vec<&str> = tests.iter().flat_map(|source| names_of_tests(source)).collect();
        let matrix = below(&["tests/src/programs"]);
        let matrix: Vec<&str> = matrix.iter().flat_map(|source| texts(source)).collect();
        assert!(tests.len() > 500 && matrix.len() > 100, "{} tests, {} of the matrix", tests.len(), matrix.len());
        let page = fs::read_to_string(root.join("docs/erc-7562.md")).unwrap();
        for row in TABLE {
            assert!(page.contains(row.id), "{}: docs/erc-7562.md says nothing of it", row.id);
            let Held::Judged { tests: wanted, .. } = row.held else { continue };
            for test in wanted {
                let is_there = tests.iter().chain(&matrix).any(|name| name.contains(test));
                assert!(is_there, "{}: there is no test {test}", row.id);
            }
        }
    }

    /// Rules that are judged of each validation by itself: the matrix is run without the judge of each of them, and its
    /// lawful twins hold it from the other side. Programs are the matrix's too that use what these allow.
    fn is_of_the_matrix(row: &Row) -> bool {
        let allows = ["OP-032", "OP-042", "OP-051", "OP-052", "OP-053", "OP-055", "OP-070"];
        let mut allows = allows.iter().chain(&["EREP-060", "EREP-061", "STO-010", "STO-021"]);
        row.rule().is_some_and(|rule| rule != Rule::Op062) || allows.any(|id| *id == row.id)
    }

    #[test]
    fn of_every_other_rule_the_judge_is_disabled_and_made_too_strict_by_a_planted_fault() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let faults = fs::read_to_string(root.join("tests/simulation/judges.txt")).unwrap();
        for row in TABLE.iter().filter(|row| matches!(row.held, Held::Judged { .. }) && !is_of_the_matrix(row)) {
            let planted = faults.lines().filter(|line| line.starts_with(&format!("[{} ", row.id))).count();
            assert!(planted >= 2, "{}: {planted} faults in tests/simulation/judges.txt", row.id);
        }
    }
}
