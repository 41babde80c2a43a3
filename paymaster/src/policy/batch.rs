//! All of an operation's calls, those that the account makes to itself looked into.

use alloy::primitives::{Address, Bytes};

use super::encodings::{Asked, UnreadableCalls, decode};

/// Calls to itself within calls to itself that are followed.
const DEPTH: usize = 8;
/// Calls of one operation that are looked at.
const CALLS: usize = 256;

/// One call, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Positions from the outermost batch inwards: `2.0` is the first call of the batch that the third is.
    pub path: String,
    /// The call.
    pub call: Asked,
    /// Whether it goes to the account itself.
    pub to_itself: bool,
}

impl Step {
    /// The function called; `None` for a plain transfer or a call too short to have one.
    pub fn selector(&self) -> Option<[u8; 4]> {
        self.call.data.first_chunk().copied()
    }

    /// A 32-byte word of its arguments, if there is one.
    pub fn word(&self, index: usize) -> Option<[u8; 32]> {
        let start = index.checked_mul(32)?.checked_add(4)?;
        self.call.data.get(start..)?.first_chunk().copied()
    }
}

/// Something that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The call whose data it is; empty for the operation's own.
    pub path: String,
    /// Why.
    pub error: UnreadableCalls,
}

/// Every call of the operation, in order.
///
/// With `into_itself`, a call of the account to itself that makes calls stands for these; else it is one call like any.
///
/// # Errors
/// If any of it cannot be read.
pub fn steps(call_data: &Bytes, sender: Address, into_itself: bool) -> Result<Vec<Step>, Unreadable> {
    let mut steps = Vec::new();
    follow(call_data, sender, into_itself, "", 0, &mut steps)?;
    Ok(steps)
}

fn follow(
    data: &Bytes,
    sender: Address,
    into_itself: bool,
    path: &str,
    depth: usize,
    steps: &mut Vec<Step>,
) -> Result<(), Unreadable> {
    let unreadable = |error| Unreadable { path: path.to_owned(), error };
    if depth > DEPTH {
        return Err(unreadable(UnreadableCalls::TooDeep));
    }
    for (index, call) in decode(data, sender).map_err(unreadable)?.into_iter().enumerate() {
        let path = if path.is_empty() { index.to_string() } else { format!("{path}.{index}") };
        let to_itself = call.target == sender;
        if into_itself && to_itself && !call.delegatecall && call.value.is_zero() {
            match follow(&call.data, sender, into_itself, &path, depth + 1, steps) {
                Ok(()) => continue,
                // Another function of the account: a call like any, to be allowed by name or not at all.
                Err(Unreadable { path: at, error: UnreadableCalls::UnknownFunction }) if at == path => {}
                Err(error) => return Err(error),
            }
        }
        if steps.len() == CALLS {
            return Err(unreadable(UnreadableCalls::TooMany));
        }
        steps.push(Step { path, call, to_itself });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::{
        super::encodings::tests::{SENDER, every_encoding},
        *,
    };

    fn call(target: Address, data: impl Into<Bytes>) -> Asked {
        Asked { target, value: U256::ZERO, data: data.into(), delegatecall: false }
    }

    #[test]
    fn a_call_within_calls_to_itself_is_found_and_its_path_told() {
        let other = Address::repeat_byte(1);
        let inner = every_encoding(&[call(other, [1, 2, 3, 4])])[0].clone();
        let outer = every_encoding(&[call(other, [9, 9, 9, 9]), call(SENDER, inner)])[0].clone();
        let found = steps(&outer, SENDER, true).unwrap();
        let paths: Vec<_> = found.iter().map(|step| (step.path.as_str(), step.call.target)).collect();
        assert_eq!(paths, [("0", other), ("1.0", other)]);
        let flat = steps(&outer, SENDER, false).unwrap();
        assert!(flat[1].to_itself && flat[1].path == "1");
    }

    #[test]
    fn another_function_of_the_account_is_a_call_and_a_spoilt_batch_is_unreadable() {
        let outer = every_encoding(&[call(SENDER, [1, 2, 3, 4])])[0].clone();
        assert_eq!(steps(&outer, SENDER, true).unwrap()[0].selector(), Some([1, 2, 3, 4]));
        let mut spoilt = every_encoding(&[call(SENDER, [])])[0].to_vec();
        spoilt.push(0);
        let outer = every_encoding(&[call(SENDER, spoilt)])[0].clone();
        let expected = Unreadable { path: "0".into(), error: UnreadableCalls::Malformed };
        assert_eq!(steps(&outer, SENDER, true), Err(expected));
    }

    #[test]
    fn nesting_and_number_have_an_end() {
        let mut data = every_encoding(&[call(Address::repeat_byte(1), [1, 2, 3, 4])])[0].clone();
        for _ in 0..DEPTH {
            data = every_encoding(&[call(SENDER, data)])[0].clone();
        }
        assert_eq!(steps(&data, SENDER, true).unwrap().len(), 1);
        data = every_encoding(&[call(SENDER, data)])[0].clone();
        assert!(matches!(steps(&data, SENDER, true), Err(Unreadable { error: UnreadableCalls::TooDeep, .. })));
        let many = vec![call(Address::repeat_byte(1), [1, 2, 3, 4]); CALLS + 1];
        let too_many = steps(&every_encoding(&many)[0], SENDER, true);
        assert!(matches!(too_many, Err(Unreadable { error: UnreadableCalls::TooMany, .. })));
    }

    #[test]
    fn words_are_those_after_the_selector() {
        let data = [&[1, 2, 3, 4][..], &[5; 32], &[6; 31]].concat();
        let step = Step { path: "0".into(), call: call(SENDER, data), to_itself: true };
        assert_eq!((step.word(0), step.word(1), step.word(usize::MAX)), (Some([5; 32]), None, None));
    }
}
