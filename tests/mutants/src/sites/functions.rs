//! Functions that end before they have begun.

use syn::{Block, GenericArgument, PathArguments, ReturnType, Signature, Type};

use super::{Finder, SWITCH, Site, range, short};

/// Types of which there is a default that is nothing.
const EMPTY: [&str; 26] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i32", "i64", "i128", "f64", "U256", "U128", "B256", "Bytes",
    "Address", "String", "Vec", "VecDeque", "BTreeMap", "BTreeSet", "HashMap", "HashSet", "Duration", "Value", "Wei",
    "Gas",
];

impl Finder<'_> {
    pub(super) fn function(&mut self, signature: &Signature, block: &Block) {
        if block.stmts.is_empty() {
            return;
        }
        let values = match &signature.output {
            ReturnType::Default => vec![String::new()],
            ReturnType::Type(_, of) => values(of),
        };
        let brace = block.brace_token.span.open();
        let after = range(brace).end;
        for value in values {
            let told = format!("`{}` ends at once with `{value}`", short(&signature.ident.to_string()));
            let text = format!(" if {SWITCH} {{ return {value}; }}").replace("return ;", "return;");
            let line = brace.start().line;
            self.sites.push(Site { kind: "early return", range: after..after, text, told, line });
        }
    }
}

/// What a function of this type could say without having done anything.
fn values(of: &Type) -> Vec<String> {
    let Type::Path(path) = of else {
        return match of {
            Type::Tuple(tuple) if tuple.elems.is_empty() => vec![String::new()],
            _ => Vec::new(),
        };
    };
    let Some(last) = path.path.segments.last() else { return Vec::new() };
    let name = last.ident.to_string();
    match name.as_str() {
        "bool" => vec!["true".into(), "false".into()],
        "Option" => vec!["None".into()],
        "Result" => {
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Vec::new() };
            match arguments.args.first() {
                Some(GenericArgument::Type(Type::Tuple(tuple))) if tuple.elems.is_empty() => vec!["Ok(())".into()],
                Some(GenericArgument::Type(inner)) => {
                    values(inner).into_iter().filter(|it| !it.is_empty()).map(|it| format!("Ok({it})")).collect()
                }
                _ => Vec::new(),
            }
        }
        _ if EMPTY.contains(&name.as_str()) => vec!["Default::default()".into()],
        _ => Vec::new(),
    }
}
