//! Every place of a file where a small fault can stand behind a switch, and what stands there then.
//!
//! A fault is a piece of text with two ways through it, `(if SWITCH { other } else { original })`, so its two sides have
//! one type wherever that can be seen from the syntax; what does not compile for all that is left out by the build.
//! Patterns, types, constants, `const fn`s and the insides of macros can carry no switch, and are left alone.

mod expressions;
mod functions;
mod statements;

use std::ops::Range;

use proc_macro2::Span;
use syn::{Attribute, spanned::Spanned, visit::Visit};

/// Stands for the question whether this mutant is awake, until it has a number.
pub(crate) const SWITCH: &str = "\u{1}";

/// One fault that could be.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// What sort of fault.
    pub(crate) kind: &'static str,
    /// Bytes of the file that it takes the place of.
    pub(crate) range: Range<usize>,
    /// What stands there instead, with [`SWITCH`] in it.
    pub(crate) text: String,
    /// For people.
    pub(crate) told: String,
    /// Counted from one.
    pub(crate) line: usize,
}

/// All of a file, in no order.
///
/// # Errors
/// If it is no Rust.
pub(crate) fn of(text: &str) -> syn::Result<Vec<Site>> {
    let file = syn::parse_file(text)?;
    let mut finder = Finder { text, sites: Vec::new() };
    finder.visit_file(&file);
    Ok(finder.sites)
}

struct Finder<'a> {
    text: &'a str,
    sites: Vec<Site>,
}

impl Finder<'_> {
    fn text(&self, node: &impl Spanned) -> &str {
        self.text.get(range(node.span())).unwrap_or_default()
    }

    fn add(&mut self, kind: &'static str, place: &impl Spanned, text: String, told: String) {
        let span = place.span();
        self.sites.push(Site { kind, range: range(span), text, told, line: span.start().line });
    }

    /// An expression that has another value.
    fn other(&mut self, kind: &'static str, place: &impl Spanned, other: &str) {
        let original = self.text(place).to_owned();
        let told = format!("`{}` for `{}`", short(other), short(&original));
        self.add(kind, place, format!("(if {SWITCH} {{ {other} }} else {{ {original} }})"), told);
    }

    /// A statement in place of another.
    fn instead(&mut self, kind: &'static str, place: &impl Spanned, other: &str, told: String) {
        let text = format!("if {SWITCH} {{ {other} }} else {{ {} }}", self.text(place));
        self.add(kind, place, text, told);
    }
}

fn range(span: Span) -> Range<usize> {
    span.byte_range()
}

/// On one line, and not a long one.
fn short(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= 70 { text } else { text.chars().take(67).chain("...".chars()).collect() }
}

/// What is compiled only sometimes; it would be no fault where it is not.
fn conditional(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        path.is_ident("cfg") || path.is_ident("test") || path.segments.last().is_some_and(|it| it.ident == "test")
    })
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !conditional(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !conditional(&item.attrs) && item.sig.constness.is_none() && item.sig.ident != "main" {
            self.function(&item.sig, &item.block);
            self.visit_block(&item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !conditional(&item.attrs) && item.sig.constness.is_none() {
            self.function(&item.sig, &item.block);
            self.visit_block(&item.block);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = item.default.as_ref().filter(|_| !conditional(&item.attrs)) {
            self.function(&item.sig, block);
            self.visit_block(block);
        }
    }

    /// `Debug` is for people.
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let debug = item
            .trait_
            .as_ref()
            .is_some_and(|(_, path, _)| path.segments.last().is_some_and(|segment| segment.ident == "Debug"));
        if !debug && !conditional(&item.attrs) {
            syn::visit::visit_item_impl(self, item);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.statements(&block.stmts);
        syn::visit::visit_block(self, block);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !conditional(&local.attrs) {
            syn::visit::visit_local(self, local);
        }
    }

    fn visit_expr(&mut self, expression: &'ast syn::Expr) {
        self.expression(expression);
        match expression {
            syn::Expr::Const(_) => {}
            syn::Expr::Block(block) if conditional(&block.attrs) => {}
            // Its length is a constant.
            syn::Expr::Repeat(repeat) => self.visit_expr(&repeat.expr),
            _ => syn::visit::visit_expr(self, expression),
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if conditional(&arm.attrs) {
            return;
        }
        if let Some((_, guard)) = &arm.guard {
            self.guard(guard);
            self.visit_expr(guard);
        }
        self.visit_expr(&arm.body);
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_path_arguments(&mut self, _: &'ast syn::PathArguments) {}
    fn visit_angle_bracketed_generic_arguments(&mut self, _: &'ast syn::AngleBracketedGenericArguments) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds and what each would say, awake.
    fn found(text: &str) -> Vec<(&'static str, String)> {
        of(text).unwrap().into_iter().map(|site| (site.kind, site.text.replace(SWITCH, "S"))).collect()
    }

    #[test]
    fn a_comparison_has_its_boundary_and_its_side_swapped() {
        let found = found("fn f() -> u8 { if a < b { g(x) } else { h(x) } }");
        assert!(found.contains(&("comparison", "(if S { a <= b } else { a < b })".into())), "{found:?}");
        assert!(found.contains(&("comparison", "(if S { a >= b } else { a < b })".into())), "{found:?}");
    }

    #[test]
    fn statements_are_left_out_swapped_and_their_errors_swallowed() {
        let found = found("fn f() -> Q { x.write()?; y.send(1).await; }");
        assert!(found.contains(&("statement deleted", "if !S { x.write()?; }".into())), "{found:?}");
        assert!(found.contains(&("error swallowed", "if S { let _ = x.write(); } else { x.write()?; }".into())));
        let swapped = "if S { y.send(1).await; x.write()?; } else { x.write()?; y.send(1).await; }";
        assert!(found.contains(&("statements swapped", swapped.into())), "{found:?}");
    }

    #[test]
    fn what_can_carry_no_switch_is_left_alone() {
        for text in [
            "const N: u8 = 1 + 2;",
            "const fn f() -> u8 { 1 + 2 }",
            "static S: u8 = 3;",
            "fn f(x: [u8; 4]) { match x { 3 => {} } }",
            "fn f() -> Q { log!(1 + 2); [q; 7] }",
            "#[cfg(test)] mod tests { fn f() -> u8 { 1 } }",
            "#[cfg(feature = \"x\")] fn f() -> u8 { 1 }",
            "enum E { A = 5 }",
            "fn f() -> Q { x.take_all::<4>() }",
        ] {
            let found = found(text);
            assert!(found.iter().all(|(kind, _)| *kind == "early return"), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_function_ends_before_it_has_begun_and_a_guard_and_an_arm_go() {
        let found = found("fn f(&self) -> Result<(), E> { match x { A if b => g(), B => h(), _ => i() } }");
        assert!(found.contains(&("early return", " if S { return Ok(()); }".into())), "{found:?}");
        assert!(found.contains(&("guard dropped", "(S || b)".into())), "{found:?}");
        assert!(found.contains(&("arm dropped", "B if !S".into())), "{found:?}");
    }
}
