//! What is done only for its effect: left out, done in another order, or done without asking whether it could be.

use syn::{Expr, Pat, Stmt, spanned::Spanned};

use super::{Finder, SWITCH, Site, conditional, range, short};

/// Calls that change nothing but how fast it goes, or what is said of it.
const NO_EFFECT: [&str; 5] = ["reserve", "shrink_to_fit", "record", "describe", "enter"];

impl Finder<'_> {
    pub(super) fn statements(&mut self, statements: &[Stmt]) {
        for statement in statements {
            self.statement(statement);
        }
        for pair in statements.windows(2) {
            if let [first, second] = pair
                && has_effect(first)
                && has_effect(second)
                && !(is_assignment_of(first) && is_assignment_of(second))
            {
                let (one, other) = (self.text(first).to_owned(), self.text(second).to_owned());
                let text = format!("if {SWITCH} {{ {other} {one} }} else {{ {one} {other} }}");
                let told = format!("`{}` before `{}`", short(&other), short(&one));
                let (start, end) = (range(first.span()).start, range(second.span()).end);
                let line = first.span().start().line;
                self.sites.push(Site { kind: "statements swapped", range: start..end, text, told, line });
            }
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        let deleted = |this: &mut Self, kind| {
            let text = format!("if !{SWITCH} {{ {} }}", this.text(statement));
            let told = format!("without `{}`", short(this.text(statement)));
            this.add(kind, statement, text, told);
        };
        match statement {
            Stmt::Local(local) if matches!(local.pat, Pat::Wild(_)) => deleted(self, "statement deleted"),
            Stmt::Expr(Expr::ForLoop(each), _) if !conditional(&each.attrs) => deleted(self, "block deleted"),
            Stmt::Expr(Expr::If(condition), None) if condition.else_branch.is_none() && ends_open(statement) => {
                deleted(self, "block deleted");
            }
            _ if has_effect(statement) => {
                deleted(self, "statement deleted");
                if let Stmt::Expr(Expr::Try(tried), Some(_)) = statement {
                    let inner = self.text(&*tried.expr).to_owned();
                    let told = format!("`{}` may fail unnoticed", short(&inner));
                    self.instead("error swallowed", statement, &format!("let _ = {inner};"), told);
                }
            }
            _ => {}
        }
    }
}

/// Whether it gives nothing, as its body ends in a statement.
fn ends_open(statement: &Stmt) -> bool {
    let Stmt::Expr(Expr::If(condition), None) = statement else { return false };
    !matches!(condition.then_branch.stmts.last(), Some(Stmt::Expr(Expr::If(_) | Expr::Match(_), None)))
}

/// Whether it only sets something: of two such the order does not matter.
fn is_assignment_of(statement: &Stmt) -> bool {
    matches!(statement, Stmt::Expr(Expr::Assign(_), _))
}

/// Whether it is a call or an assignment that nothing is made of.
fn has_effect(statement: &Stmt) -> bool {
    let Stmt::Expr(expression, Some(_)) = statement else { return false };
    let mut expression = expression;
    loop {
        expression = match expression {
            Expr::Try(tried) => &tried.expr,
            Expr::Await(awaited) => &awaited.base,
            Expr::MethodCall(call) => return !NO_EFFECT.contains(&call.method.to_string().as_str()),
            Expr::Call(_) | Expr::Assign(_) => return true,
            Expr::Binary(binary) => return is_assignment(&binary.op),
            _ => return false,
        };
    }
}

pub(super) fn is_assignment(operator: &syn::BinOp) -> bool {
    use syn::BinOp::{
        AddAssign, BitAndAssign, BitOrAssign, BitXorAssign, DivAssign, MulAssign, RemAssign, ShlAssign, ShrAssign,
        SubAssign,
    };
    matches!(
        operator,
        AddAssign(_)
            | SubAssign(_)
            | MulAssign(_)
            | DivAssign(_)
            | RemAssign(_)
            | BitAndAssign(_)
            | BitOrAssign(_)
            | BitXorAssign(_)
            | ShlAssign(_)
            | ShrAssign(_)
    )
}
