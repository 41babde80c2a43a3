//! What is wrong with a policy file, and where.

use std::{fmt, ops::Range, path::PathBuf};

use super::json;

/// A policy file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The file, if it is one.
    pub file: Option<PathBuf>,
    /// Line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// The key, with its table: `call.arguments.word`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl std::error::Error for PolicyError {}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            f.write_str(if self.line > 0 { ":" } else { ": " })?;
        }
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl PolicyError {
    /// About the file as a whole.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self { file: None, line: 0, column: 0, field: String::new(), message: message.into() }
    }

    /// About these bytes of the text.
    pub(super) fn at(text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let Some(span) = span else { return Self::whole(message) };
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let field = if json::is_json(text) { json::field(text, span.start) } else { field(text, line) };
        Self { file: None, line, column, field, message: message.into() }
    }

    /// The same, with the file that it is in.
    pub(crate) fn in_file(self, file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..self }
    }
}

/// The key that this line belongs to: the last that was begun, under its table.
fn field(text: &str, line: usize) -> String {
    let (mut table, mut key) = ("", "");
    for line in text.lines().take(line).map(str::trim) {
        if let Some(header) = line.strip_prefix('[').filter(|_| !line.contains('=')) {
            table = header.trim_start_matches('[').split(']').next().unwrap_or_default().trim();
            key = "";
        } else if let Some((name, _)) = line.split_once('=') {
            let name = name.trim();
            if !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || "_-.".contains(it)) {
                key = name;
            }
        }
    }
    [table, key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
}
