//! What has another value than it should.

use syn::{BinOp, Expr, ExprBinary, ExprMatch, Lit, Pat, UnOp, spanned::Spanned};

use super::{Finder, SWITCH, Site, conditional, range, short, statements::is_assignment};

/// Methods that take the same and give the same, each with its opposite.
const METHODS: [(&str, &str); 26] = [
    ("saturating_add", "saturating_sub"),
    ("saturating_sub", "saturating_add"),
    ("checked_add", "checked_sub"),
    ("checked_sub", "checked_add"),
    ("wrapping_add", "wrapping_sub"),
    ("saturating_mul", "saturating_add"),
    ("div_ceil", "saturating_mul"),
    ("min", "max"),
    ("max", "min"),
    ("any", "all"),
    ("all", "any"),
    ("is_some", "is_none"),
    ("is_none", "is_some"),
    ("is_ok", "is_err"),
    ("is_err", "is_ok"),
    ("is_some_and", "is_none_or"),
    ("is_none_or", "is_some_and"),
    ("first", "last"),
    ("last", "first"),
    ("min_by_key", "max_by_key"),
    ("max_by_key", "min_by_key"),
    ("take", "skip"),
    ("pop_front", "pop_back"),
    ("push_back", "push_front"),
    ("first_key_value", "last_key_value"),
    ("last_key_value", "first_key_value"),
];

impl Finder<'_> {
    pub(super) fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Binary(binary) => self.binary(binary),
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
                let inner = self.text(&*unary.expr).to_owned();
                self.other("negation", expression, &inner);
            }
            Expr::If(condition) if !has_let(&condition.cond) => {
                self.condition(&condition.cond);
            }
            Expr::While(condition) if !has_let(&condition.cond) => {
                self.condition(&condition.cond);
            }
            Expr::Lit(literal) => self.literal(expression, &literal.lit),
            Expr::Call(call) => {
                if let Expr::Path(path) = &*call.func
                    && path.path.is_ident("Some")
                {
                    self.other("None for Some", expression, "None");
                }
            }
            Expr::MethodCall(call) => {
                let name = call.method.to_string();
                if let Some((_, other)) = METHODS.iter().find(|(from, _)| *from == name) {
                    let start = range(expression.span()).start;
                    let at = range(call.method.span()).start - start;
                    let mut text = self.text(expression).to_owned();
                    if text.get(at..at + name.len()) == Some(name.as_str()) {
                        text.replace_range(at..at + name.len(), other);
                        self.other("method swapped", expression, &text);
                    }
                }
            }
            Expr::Break(it) if it.expr.is_none() && it.label.is_none() => {
                self.other("break and continue", expression, "continue");
            }
            Expr::Continue(it) if it.label.is_none() => self.other("break and continue", expression, "break"),
            Expr::Match(it) => self.arms(it),
            _ => {}
        }
    }

    fn condition(&mut self, condition: &Expr) {
        let negated = format!("!({})", self.text(condition));
        self.other("negation", condition, &negated);
    }

    fn binary(&mut self, binary: &ExprBinary) {
        let (kind, others): (_, &[&str]) = match binary.op {
            BinOp::Lt(_) => ("comparison", &["<=", ">="]),
            BinOp::Le(_) => ("comparison", &["<", ">"]),
            BinOp::Gt(_) => ("comparison", &[">=", "<="]),
            BinOp::Ge(_) => ("comparison", &[">", "<"]),
            BinOp::Eq(_) => ("comparison", &["!="]),
            BinOp::Ne(_) => ("comparison", &["=="]),
            BinOp::Add(_) => ("arithmetic", &["-"]),
            BinOp::Sub(_) => ("arithmetic", &["+"]),
            BinOp::Mul(_) => ("arithmetic", &["/", "+"]),
            BinOp::Div(_) => ("arithmetic", &["*"]),
            BinOp::Rem(_) => ("arithmetic", &["/"]),
            BinOp::Shl(_) => ("arithmetic", &[">>"]),
            BinOp::Shr(_) => ("arithmetic", &["<<"]),
            BinOp::BitAnd(_) => ("arithmetic", &["|"]),
            BinOp::BitOr(_) => ("arithmetic", &["&"]),
            BinOp::And(_) if !has_let(&binary.left) && !has_let(&binary.right) => ("logic", &["||"]),
            BinOp::Or(_) => ("logic", &["&&"]),
            BinOp::AddAssign(_) => ("arithmetic", &["-="]),
            BinOp::SubAssign(_) => ("arithmetic", &["+="]),
            _ => return,
        };
        let (left, right) = (self.text(&*binary.left).to_owned(), self.text(&*binary.right).to_owned());
        for operator in others {
            let other = format!("{left} {operator} {right}");
            if is_assignment(&binary.op) {
                // It stands where a statement stands, and has no value.
                let (original, told) = (self.text(binary).to_owned(), format!("`{}`", short(&other)));
                self.add(kind, binary, format!("if {SWITCH} {{ {other} }} else {{ {original} }}"), told);
            } else {
                self.other(kind, binary, &other);
            }
        }
    }

    fn literal(&mut self, expression: &Expr, literal: &Lit) {
        match literal {
            Lit::Int(number) => {
                if let Ok(value) = number.base10_parse::<u128>() {
                    let suffix = number.suffix();
                    self.other("constant", expression, &format!("{}{suffix}", value + 1));
                    if let Some(less) = value.checked_sub(1) {
                        self.other("constant", expression, &format!("{less}{suffix}"));
                    }
                }
            }
            Lit::Bool(truth) => self.other("constant", expression, if truth.value { "false" } else { "true" }),
            _ => {}
        }
    }

    pub(super) fn guard(&mut self, guard: &Expr) {
        if !has_let(guard) {
            let original = self.text(guard).to_owned();
            let told = format!("without the guard `{}`", short(&original));
            self.add("guard dropped", guard, format!("({SWITCH} || {original})"), told);
        }
    }

    /// Arms of which another one takes what they would have had.
    fn arms(&mut self, it: &ExprMatch) {
        let Some((last, arms)) = it.arms.split_last() else { return };
        if last.guard.is_some() || !matches!(last.pat, Pat::Wild(_) | Pat::Ident(_)) {
            return;
        }
        for arm in arms.iter().filter(|arm| arm.guard.is_none() && !conditional(&arm.attrs)) {
            let pattern = self.text(&arm.pat).to_owned();
            let span = arm.pat.span();
            self.sites.push(Site {
                kind: "arm dropped",
                range: range(span),
                text: format!("{pattern} if !{SWITCH}"),
                told: format!("without the arm `{}`", short(&pattern)),
                line: span.start().line,
            });
        }
    }
}

/// Whether something is bound in it: what is, cannot be put in brackets.
fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}
