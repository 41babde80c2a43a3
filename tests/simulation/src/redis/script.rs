//! Runs the product's own scripts: the part of Lua 5.1 that they are written in, read anew each time.

use std::{collections::BTreeMap, sync::Arc};

use redis::Value as Reply;

use super::data::{Data, Refused, Text};

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Number(f64),
    Text(String),
    Sign(&'static str),
    End,
}

/// Longer ones first.
const SIGNS: [&str; 19] =
    ["==", "~=", ">=", "<=", "..", "(", ")", "[", "]", ",", "=", "<", ">", "#", "+", "-", "*", "/", "."];

fn tokens(source: &str) -> Result<Vec<Token>, Refused> {
    let (mut all, mut rest) = (Vec::new(), source.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            all.push(Token::Name(rest[..end].into()));
            end
        } else if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            all.push(Token::Number(rest[..end].parse().map_err(|_| "ERR a number")?));
            end
        } else if first == '\'' {
            let end = rest[1..].find('\'').ok_or("ERR a string without an end")? + 1;
            all.push(Token::Text(rest[1..end].into()));
            end + 1
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| format!("ERR {first:?} in a script is none that is known here"))?;
            all.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    all.push(Token::End);
    Ok(all)
}

#[derive(Clone, Debug)]
enum Expression {
    Constant(Value),
    Name(String),
    At(String, Box<Expression>),
    Length(String),
    Call(Vec<Expression>),
    ToNumber(Box<Expression>),
    Two(&'static str, Box<Expression>, Box<Expression>),
}

#[derive(Clone, Debug)]
enum Statement {
    Local(String, Expression),
    If(Expression, Vec<Statement>, Vec<Statement>),
    For(String, Expression, Expression, Vec<Statement>),
    Return(Expression),
    Do(Expression),
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Nil,
    Truth(bool),
    Number(f64),
    Text(Text),
}

struct Reader {
    tokens: std::vec::IntoIter<Token>,
    next: Token,
}

/// What binds less comes first; `..` and comparisons are not mixed without brackets in our scripts.
const BINDING: [&[&str]; 5] = [&["or"], &["and"], &["==", "~=", ">=", "<=", "<", ">"], &[".."], &["+", "-"]];

impl Reader {
    fn advance(&mut self) -> Token {
        let next = self.tokens.next().unwrap_or(Token::End);
        std::mem::replace(&mut self.next, next)
    }

    fn takes(&mut self, what: &str) -> bool {
        let is = matches!(&self.next, Token::Name(name) if name == what)
            || matches!(&self.next, Token::Sign(sign) if *sign == what);
        if is {
            self.advance();
        }
        is
    }

    fn expect(&mut self, what: &str) -> Result<(), Refused> {
        if self.takes(what) { Ok(()) } else { Err(format!("ERR {what} is expected in a script, not {:?}", self.next)) }
    }

    fn name(&mut self) -> Result<String, Refused> {
        match self.advance() {
            Token::Name(name) => Ok(name),
            other => Err(format!("ERR a name is expected in a script, not {other:?}")),
        }
    }

    fn block(&mut self, ends: &[&str]) -> Result<Vec<Statement>, Refused> {
        let mut all = Vec::new();
        loop {
            match &self.next {
                Token::End if ends.is_empty() => return Ok(all),
                Token::Name(name) if ends.contains(&name.as_str()) => return Ok(all),
                Token::End => return Err("ERR a script without an end".into()),
                _ => all.push(self.statement()?),
            }
        }
    }

    fn statement(&mut self) -> Result<Statement, Refused> {
        if self.takes("local") {
            let name = self.name()?;
            self.expect("=")?;
            return Ok(Statement::Local(name, self.expression(0)?));
        }
        if self.takes("return") {
            return Ok(Statement::Return(self.expression(0)?));
        }
        if self.takes("if") {
            let condition = self.expression(0)?;
            self.expect("then")?;
            let then = self.block(&["else", "end"])?;
            let otherwise = if self.takes("else") { self.block(&["end"])? } else { Vec::new() };
            self.expect("end")?;
            return Ok(Statement::If(condition, then, otherwise));
        }
        if self.takes("for") {
            let name = self.name()?;
            self.expect("=")?;
            let from = self.expression(0)?;
            self.expect(",")?;
            let to = self.expression(0)?;
            self.expect("do")?;
            let block = self.block(&["end"])?;
            self.expect("end")?;
            return Ok(Statement::For(name, from, to, block));
        }
        Ok(Statement::Do(self.expression(0)?))
    }

    fn expression(&mut self, level: usize) -> Result<Expression, Refused> {
        let Some(signs) = BINDING.get(level) else { return self.product() };
        let mut left = self.expression(level + 1)?;
        while let Some(sign) = signs.iter().find(|sign| self.takes(sign)) {
            left = Expression::Two(sign, Box::new(left), Box::new(self.expression(level + 1)?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Expression, Refused> {
        let mut left = self.primary()?;
        while self.takes("*") {
            left = Expression::Two("*", Box::new(left), Box::new(self.primary()?));
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expression, Refused> {
        if self.takes("(") {
            let inner = self.expression(0)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.takes("#") {
            return Ok(Expression::Length(self.name()?));
        }
        match self.advance() {
            Token::Number(number) => Ok(Expression::Constant(Value::Number(number))),
            Token::Text(text) => Ok(Expression::Constant(Value::Text(text.as_bytes().into()))),
            Token::Name(name) => match name.as_str() {
                "true" | "false" => Ok(Expression::Constant(Value::Truth(name == "true"))),
                "nil" => Ok(Expression::Constant(Value::Nil)),
                "redis" => {
                    self.expect(".")?;
                    self.expect("call")?;
                    self.expect("(")?;
                    let mut arguments = vec![self.expression(0)?];
                    while self.takes(",") {
                        arguments.push(self.expression(0)?);
                    }
                    self.expect(")")?;
                    Ok(Expression::Call(arguments))
                }
                "tonumber" => {
                    self.expect("(")?;
                    let inner = self.expression(0)?;
                    self.expect(")")?;
                    Ok(Expression::ToNumber(Box::new(inner)))
                }
                _ if self.takes("[") => {
                    let index = self.expression(0)?;
                    self.expect("]")?;
                    Ok(Expression::At(name, Box::new(index)))
                }
                _ => Ok(Expression::Name(name)),
            },
            other => Err(format!("ERR {other:?} in a script is none that is known here")),
        }
    }
}

struct Run<'a> {
    keys: &'a [Text],
    arguments: &'a [Text],
    names: BTreeMap<String, Value>,
    data: Data,
    now: u64,
    unix: u64,
}

fn number_text(number: f64) -> Text {
    format!("{number}").into_bytes().into()
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        _ => None,
    }
}

fn as_text(value: &Value) -> Result<Text, Refused> {
    match value {
        Value::Text(text) => Ok(Arc::clone(text)),
        Value::Number(number) => Ok(number_text(*number)),
        _ => Err("ERR an argument that is neither string nor number".into()),
    }
}

fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Nil | Value::Truth(false))
}

impl Run<'_> {
    fn table(&self, name: &str) -> Result<&[Text], Refused> {
        match name {
            "KEYS" => Ok(self.keys),
            "ARGV" => Ok(self.arguments),
            _ => Err(format!("ERR {name} is no table")),
        }
    }

    fn value(&mut self, expression: &Expression) -> Result<Value, Refused> {
        Ok(match expression {
            Expression::Constant(value) => value.clone(),
            Expression::Name(name) => self.names.get(name).cloned().unwrap_or(Value::Nil),
            Expression::Length(name) => Value::Number(self.table(name)?.len() as f64),
            Expression::At(name, index) => {
                let index = as_number(&self.value(index)?).ok_or("ERR an index")? as usize;
                let found = index.checked_sub(1).and_then(|index| self.table(name).ok()?.get(index).cloned());
                found.map_or(Value::Nil, Value::Text)
            }
            Expression::ToNumber(inner) => as_number(&self.value(inner)?).map_or(Value::Nil, Value::Number),
            Expression::Call(arguments) => {
                let mut command = Vec::new();
                for argument in arguments {
                    command.push(as_text(&self.value(argument)?)?);
                }
                match self.data.run(&command, self.now, self.unix)?.unwrap_or(Reply::Nil) {
                    Reply::Nil => Value::Truth(false),
                    Reply::Int(number) => Value::Number(number as f64),
                    Reply::BulkString(text) => Value::Text(text.into()),
                    // A table in Lua, which none of ours looks at.
                    _ => Value::Truth(true),
                }
            }
            Expression::Two(sign, left, right) => {
                let left = self.value(left)?;
                match *sign {
                    "or" if is_true(&left) => return Ok(left),
                    "and" if !is_true(&left) => return Ok(left),
                    _ => {}
                }
                let right = self.value(right)?;
                let numbers = || {
                    let both = as_number(&left).zip(as_number(&right));
                    both.ok_or_else(|| Refused::from("ERR arithmetic with what is no number"))
                };
                match *sign {
                    "or" | "and" => right,
                    "==" => Value::Truth(left == right),
                    "~=" => Value::Truth(left != right),
                    ".." => Value::Text([as_text(&left)?, as_text(&right)?].concat().into()),
                    ">=" => numbers().map(|(left, right)| Value::Truth(left >= right))?,
                    "<=" => numbers().map(|(left, right)| Value::Truth(left <= right))?,
                    "<" => numbers().map(|(left, right)| Value::Truth(left < right))?,
                    ">" => numbers().map(|(left, right)| Value::Truth(left > right))?,
                    "+" => numbers().map(|(left, right)| Value::Number(left + right))?,
                    "-" => numbers().map(|(left, right)| Value::Number(left - right))?,
                    "*" => numbers().map(|(left, right)| Value::Number(left * right))?,
                    _ => return Err(format!("ERR {sign} in a script")),
                }
            }
        })
    }

    /// What it returns, if it does.
    fn block(&mut self, statements: &[Statement]) -> Result<Option<Value>, Refused> {
        for statement in statements {
            let returned = match statement {
                Statement::Local(name, expression) => {
                    let value = self.value(expression)?;
                    self.names.insert(name.clone(), value);
                    None
                }
                Statement::Do(expression) => {
                    self.value(expression)?;
                    None
                }
                Statement::Return(expression) => Some(self.value(expression)?),
                Statement::If(condition, then, otherwise) => {
                    let chosen = if is_true(&self.value(condition)?) { then } else { otherwise };
                    self.block(chosen)?
                }
                Statement::For(name, from, to, block) => {
                    let (from, to) = (self.value(from)?, self.value(to)?);
                    let (mut at, to) = as_number(&from).zip(as_number(&to)).ok_or("ERR bounds of a loop")?;
                    let mut returned = None;
                    while at <= to && returned.is_none() {
                        self.names.insert(name.clone(), Value::Number(at));
                        returned = self.block(block)?;
                        at += 1.0;
                    }
                    returned
                }
            };
            if returned.is_some() {
                return Ok(returned);
            }
        }
        Ok(None)
    }
}

/// Runs it on a copy, which is what it all comes to: nothing is done between two of its commands, and all or none stays.
///
/// # Errors
/// What it stumbles over.
pub(super) fn run(
    source: &str,
    keys: &[Text],
    arguments: &[Text],
    data: &mut Data,
    (now, unix): (u64, u64),
) -> Result<Reply, Refused> {
    let mut reader = Reader { tokens: tokens(source)?.into_iter(), next: Token::End };
    reader.advance();
    let program = reader.block(&[])?;
    let mut run = Run { keys, arguments, names: BTreeMap::new(), data: data.clone(), now, unix };
    let returned = run.block(&program)?.unwrap_or(Value::Nil);
    *data = run.data;
    Ok(match returned {
        Value::Nil | Value::Truth(false) => Reply::Nil,
        Value::Truth(true) => Reply::Int(1),
        // Redis cuts off what is behind the point.
        Value::Number(number) => Reply::Int(number as i64),
        Value::Text(text) => Reply::BulkString(text.to_vec()),
    })
}
