//! Operations by the dice: any entities with any stakes, each running any pieces. Most pass the EntryPoint.

use alloy::primitives::{U256, keccak256};
use erc4337::EntryPointVersion;

use super::{
    asm::op,
    calls::deposit_to,
    dice::Dice,
    matrix::snippets,
    piece::{Access, CallKind, Gas, Piece, Who, Word},
    scenario::{Actor, Delegation, Entity, Scenario, Stake},
    snippet::{Snippet, number},
};

/// Pieces of one program, at most.
const LENGTH: usize = 6;
/// Calls within calls that the dice write down; each may have a route through relays besides.
const DEPTH: usize = 3;

/// A source of operations.
#[derive(Debug)]
pub struct Random {
    dice: Dice,
    snippets: Vec<Snippet>,
    version: EntryPointVersion,
}

impl Random {
    /// The same operations for the same seed.
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), snippets: snippets(), version: EntryPointVersion::V0_6 }
    }

    /// The next one.
    pub fn scenario(&mut self) -> Scenario {
        self.version = self.dice.pick(&EntryPointVersion::ALL);
        let mut scenario = Scenario::new(self.version);
        scenario.account = self.actor(Entity::Account);
        if self.dice.chance(40) {
            scenario.factory = Some(self.actor(Entity::Factory));
        } else if self.dice.chance(15) {
            scenario.delegation = Some(self.delegation());
        }
        if self.dice.chance(50) {
            scenario.paymaster = Some(self.actor(Entity::Paymaster));
        }
        scenario
    }

    fn delegation(&mut self) -> Delegation {
        let initialiser = self.version.supports_eip7702() && self.dice.chance(60);
        Delegation { orders: initialiser.then(|| (self.dice.pick(&Access::ALL), self.slot())) }
    }

    fn actor(&mut self, entity: Entity) -> Actor {
        let enough = Stake::enough();
        let stake = match self.dice.weighted(&[50, 40, 3, 3, 4]) {
            0 => None,
            1 => Some(enough),
            2 => Some(Stake { wei: U256::from(1), ..enough }),
            3 => Some(Stake { delay: 86_399, ..enough }),
            _ => Some(Stake { locked: false, ..enough }),
        };
        // Few pieces, most of the time: what two rules say of the same thing shows best alone.
        let length = if self.dice.chance(30) { 0 } else { self.dice.below(LENGTH + 1) };
        let mut program = Vec::new();
        for _ in 0..length {
            program.extend(self.pieces(0));
        }
        if entity == Entity::Factory && self.dice.chance(50) {
            let at = self.dice.below(program.len() + 1);
            program.insert(at, Piece::CreateSender);
        }
        tame(&mut program, false);
        Actor { program, stake }
    }

    fn pieces(&mut self, depth: usize) -> Vec<Piece> {
        match self.dice.weighted(&[20, 22, 14, 10, 6, 14, 5, 5, 4, 1, 6]) {
            0 => {
                let snippet = self.dice.below(self.snippets.len());
                let snippet = &self.snippets[snippet];
                match &snippet.twin {
                    Some(twin) if self.dice.chance(30) => twin.clone(),
                    _ => snippet.pieces.clone(),
                }
            }
            1 => vec![self.storage()],
            2 => vec![self.call()],
            3 => vec![self.code()],
            4 => vec![self.environment()],
            5 if depth < DEPTH => vec![self.inner(depth)],
            6 => vec![Piece::Hash(self.slot())],
            7 => vec![self.undefined()],
            8 => vec![self.gas_reading()],
            9 => vec![Piece::CreateSender],
            _ => vec![self.entry_point()],
        }
    }

    fn who(&mut self) -> Who {
        let everyone = [
            Who::Sender,
            Who::This,
            Who::Factory,
            Who::Paymaster,
            Who::Nobody,
            Who::Store,
            Who::EntryPoint,
            Who::Stop,
            Who::Delegated,
            Who::DelegatedToNobody,
        ];
        everyone[self.dice.weighted(&[30, 20, 12, 12, 8, 5, 5, 4, 2, 2])]
    }

    /// Anything that can be called, precompiles and where there are none among them.
    fn target(&mut self) -> Who {
        match self.dice.weighted(&[65, 28, 7]) {
            0 => self.who(),
            1 => Who::Precompile(self.dice.below(0x15) as u16),
            _ => Who::Precompile(self.dice.pick(&[0x100, 0x101])),
        }
    }

    fn slot(&mut self) -> Word {
        let who = self.who();
        // Few keys, so that what one piece hashes another may use.
        let x = self.dice.below(2) as u64;
        let n = self.dice.pick(&[0, 1, 126, 127, 128, 129]);
        let preimage = vec![Word::Address(who), number(x)];
        match self.dice.weighted(&[10, 12, 40, 18, 4, 8, 4, 4]) {
            0 => number(x),
            1 => Word::Address(who),
            2 => Word::Keccak(preimage, n),
            3 => Word::Foreknown(preimage, n),
            4 => Word::Dirty(who),
            5 => Word::Keccak(vec![Word::Address(self.who()), Word::Keccak(preimage, 0)], n),
            6 => Word::Keccak(vec![number(x), Word::Address(who)], n),
            _ => {
                let odd = self.dice.pick(&[vec![], vec![number(0)]]);
                let odd = if odd.is_empty() { vec![Word::Address(who)] } else { [preimage, odd].concat() };
                Word::Keccak(odd, n)
            }
        }
    }

    fn storage(&mut self) -> Piece {
        let (access, slot) = (self.dice.pick(&Access::ALL), self.slot());
        if self.dice.chance(15) {
            return Piece::Own(access, slot);
        }
        let at = [Who::Store, Who::Sender, Who::Factory, Who::Paymaster, Who::Delegated]
            [self.dice.weighted(&[60, 12, 8, 10, 10])];
        let hops = 1 + self.dice.below(4);
        let route = (0..hops).map(|_| self.kind()).collect();
        Piece::Store { access, slot, at, route }
    }

    fn kind(&mut self) -> CallKind {
        CallKind::ALL[self.dice.weighted(&[45, 10, 30, 15])]
    }

    fn call(&mut self) -> Piece {
        let (kind, to) = (self.kind(), self.target());
        let value = if kind.has_value() && self.dice.chance(15) { 1 } else { 0 };
        // A precompile that does not like its input burns what it gets.
        let gas = match (to, self.dice.weighted(&[70, 25, 5])) {
            (Who::Precompile(_), _) | (_, 1) => {
                Gas::Exactly(self.dice.pick(&[0, 14, 700, 2_400, 3_000, 45_000, 60_000]))
            }
            (_, 0) => Gas::All,
            _ => Gas::Late,
        };
        let length = self.dice.pick(&[0, 0, 1, 4, 5]);
        // 0x01… is no order, and no question of the EntryPoint's.
        let head = (0..length).map(|index| index as u8 + 1).collect();
        let words = (0..self.dice.below(3)).map(|_| self.slot()).collect();
        Piece::Call { kind, to, value, gas, head, words }
    }

    /// Looks at code, or at a balance.
    fn code(&mut self) -> Piece {
        let address = Word::Address(self.target());
        let then = self.dice.pick(&[None, Some(op::ISZERO), Some(op::JUMPDEST)]);
        match self.dice.weighted(&[5, 3, 2, 2]) {
            0 => Piece::Op(op::EXTCODESIZE, vec![address], then),
            1 => Piece::Op(op::EXTCODEHASH, vec![address], then),
            2 => {
                Piece::Op(op::EXTCODECOPY, vec![address, number(0), number(0), number(self.dice.below(2) as u64)], None)
            }
            _ => Piece::Op(op::BALANCE, vec![address], then),
        }
    }

    fn environment(&mut self) -> Piece {
        let unary = [op::BLOCKHASH, op::BLOBHASH, op::CALLDATALOAD, op::CLZ];
        if self.dice.chance(20) {
            return Piece::Op(self.dice.pick(&unary), vec![number(0)], None);
        }
        Piece::opcode(self.dice.pick(&[
            op::ADDRESS,
            op::ORIGIN,
            op::CALLER,
            op::CALLVALUE,
            op::CALLDATASIZE,
            op::CODESIZE,
            op::GASPRICE,
            op::RETURNDATASIZE,
            op::COINBASE,
            op::TIMESTAMP,
            op::NUMBER,
            op::PREVRANDAO,
            op::GASLIMIT,
            op::CHAINID,
            op::SELFBALANCE,
            op::BASEFEE,
            op::BLOBBASEFEE,
            op::PC,
            op::MSIZE,
        ]))
    }

    fn inner(&mut self, depth: usize) -> Piece {
        let mut body: Vec<Piece> = Vec::new();
        for _ in 0..self.dice.below(4) {
            body.extend(self.pieces(depth + 1));
        }
        // Most end by themselves.
        let ending: (&[u8], bool) = match self.dice.weighted(&[70, 8, 6, 6, 5, 5]) {
            0 => (&[], false),
            1 => (&[op::PUSH0, op::PUSH0, op::REVERT], false),
            2 => (&[op::INVALID], true),
            3 => (&[op::JUMPDEST, op::PUSH0, op::JUMP], true),
            4 => (&[op::ADDRESS, op::SELFDESTRUCT], false),
            _ => (&[op::GAS], false),
        };
        body.push(Piece::Raw(ending.0.to_vec()));
        let gas = match self.dice.weighted(&[75, 20, 5]) {
            _ if ending.1 => Gas::Exactly(60_000),
            0 => Gas::All,
            1 => Gas::Exactly(self.dice.pick(&[0, 20, 300, 2_300, 3_000, 30_000, 60_000])),
            _ => Gas::Late,
        };
        Piece::Inner { kind: self.kind(), gas, body }
    }

    /// Any byte as an opcode, with something on the stack or nothing.
    fn undefined(&mut self) -> Piece {
        let opcode = self.dice.throw() as u8;
        let mut raw = vec![op::PUSH0; self.dice.pick(&[0, 1, 7])];
        raw.push(opcode);
        Piece::Inner { kind: self.kind(), gas: Gas::Exactly(40_000), body: vec![Piece::Raw(raw)] }
    }

    fn gas_reading(&mut self) -> Piece {
        match self.dice.below(4) {
            0 => Piece::opcode(op::GAS),
            1 => Piece::Op(op::GAS, vec![], Some(op::ISZERO)),
            2 => Piece::Raw(vec![op::GAS, op::GAS, op::POP, op::POP]),
            // The call finds an empty stack: it is the next instruction all the same.
            _ => {
                let raw = vec![op::GAS, self.kind().opcode()];
                Piece::Inner { kind: self.kind(), gas: Gas::Exactly(9_000), body: vec![Piece::Raw(raw)] }
            }
        }
    }

    fn entry_point(&mut self) -> Piece {
        let (kind, who, value) = (self.kind(), self.who(), self.dice.below(2) as u64);
        let value = if kind.has_value() { value } else { 0 };
        if self.dice.chance(40) {
            return deposit_to(kind, who, value);
        }
        let functions = [
            "balanceOf(address)",
            "getDepositInfo(address)",
            "getNonce(address,uint192)",
            "incrementNonce(uint192)",
            "addStake(uint32)",
            "unlockStake()",
            "noSuchFunction()",
        ];
        let function = self.dice.pick(&functions);
        let head = if self.dice.chance(30) { vec![] } else { keccak256(function)[..4].to_vec() };
        let words = if head.is_empty() { vec![] } else { vec![Word::Address(who), number(0)] };
        Piece::Call { kind, to: Who::EntryPoint, value, gas: Gas::All, head, words }
    }
}

/// A helper that calls itself does so until its gas is gone, a thousand deep: only with little gas, then.
fn tame(program: &mut [Piece], in_a_helper: bool) {
    for piece in program {
        match piece {
            Piece::Call { gas: Gas::Exactly(..=3_000), .. } => {}
            Piece::Call { to, .. } if *to == Who::This && in_a_helper => *to = Who::Stop,
            Piece::Inner { kind, body, .. } => {
                tame(body, in_a_helper || matches!(kind, CallKind::Call | CallKind::StaticCall));
            }
            _ => {}
        }
    }
}
