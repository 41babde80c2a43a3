//! The rules by name.

macro_rules! rules {
    ($($name:ident $id:literal $remedy:literal;)*) => {
        /// A rule of ERC-7562, by its id.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the ERC says what each asks for; `remedy` says it in a sentence")]
        pub enum Rule { $($name,)* }

        impl Rule {
            /// Every rule that a validation can break by itself.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As the ERC names it.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// What its author can do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

rules! {
    Op011 "OP-011" "take what depends on the block out of validation; return validAfter/validUntil to bind it to time";
    Op012 "OP-012" "use GAS only as the argument of a call right after it";
    Op013 "OP-013" "compile for the hardfork of this chain";
    Op020 "OP-020" "raise verificationGasLimit, and do not bound the gas of inner calls in validation";
    Op031 "OP-031" "create only the sender, once, by CREATE2 in its factory, or stake the factory";
    Op041 "OP-041" "call, and look at, only contracts that are deployed before validation";
    Op054 "OP-054" "of the EntryPoint, use only depositTo(sender); from the sender plain deposits and incrementNonce; and `code.length == 0`";
    Op061 "OP-061" "move ether in execution, not in validation";
    Op062 "OP-062" "use only precompiles 0x1 to 0x11, and 0x100 where this chain has it";
    Op080 "OP-080" "do not look at balances in validation, or stake this entity in the EntryPoint";
    Sto022 "STO-022" "stake the factory, or touch the account's entries only once it is deployed";
    Sto031 "STO-031" "stake this entity in the EntryPoint, or keep its state in the account";
    Sto032 "STO-032" "stake this entity in the EntryPoint";
    Sto033 "STO-033" "stake this entity to read other contracts; write only entries of the account or of this entity";
    Erep050 "EREP-050" "stake the paymaster in the EntryPoint, or return no context from validatePaymasterUserOp";
    Auth020 "AUTH-020" "use as factory or paymaster a contract with code of its own";
    Auth030 "AUTH-030" "in validation call, and look at, no EIP-7702 account but the sender";
    Lim020 "LIM-020" "return a context of 2,048 bytes at most from validatePaymasterUserOp";
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}
