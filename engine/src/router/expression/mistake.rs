//! What can be wrong with an expression, in the words of who wrote it.

use super::Traffic;
use super::field::Kind;
use super::syntax::{Literal, Operator};
use crate::router::regex::RegexFault;
use std::fmt;

/// Something wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct Mistake {
    /// The line, from one.
    pub line: usize,
    /// The character in the line, from one.
    pub column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at a place of an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something else belongs here.
    #[error("found {found}, expected {expected}")]
    Unexpected {
        /// What is there, as it is written.
        found: String,
        /// What could be there.
        expected: &'static str,
    },
    /// It is longer than expressions may be.
    #[error("an expression has at most {most} bytes, this has {length}")]
    TooLong {
        /// The length in bytes.
        length: usize,
        /// The longest that is read.
        most: usize,
    },
    /// Parentheses are nested too deep.
    #[error("parentheses are nested more than {0} deep")]
    TooDeep(usize),
    /// A string does not end.
    #[error("the string that starts here does not end; a `{0}` is missing")]
    Unterminated(&'static str),
    /// A backslash before a character that has no meaning with it.
    #[error(
        "`\\{0}` means nothing in a string; write `\\\\{0}` for the two characters, or the whole string as r#\"…\"#"
    )]
    Escape(char),
    /// A number that does not fit into 64 bits.
    #[error("`{0}` does not fit into 64 bits")]
    Number(String),
    /// Something in the form of an IP address that is none.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// Something in the form of a network that is none.
    #[error("`{0}` is not a network such as 10.0.0.0/8 or fd00::/8")]
    Network(String),
    /// A network whose address has bits behind the prefix.
    #[error("`{written}` has bits set behind its prefix; the network is written `{network}`")]
    HostBits {
        /// What is there.
        written: String,
        /// The network that contains the address.
        network: String,
    },
    /// A function that does not exist.
    #[error("`{0}` is not a function; there are `lower` and `any`")]
    Transform(String),
    /// A header with a hyphen in its name.
    #[error("names of headers are written with `_` for `-`")]
    Hyphen,
    /// A field that does not exist for this kind of traffic.
    #[error("`{name}` is not a field of {traffic}")]
    Field {
        /// What it was called.
        name: String,
        /// The traffic the expression is for.
        traffic: Traffic,
    },
    /// Path segments from one to another that does not come after it.
    #[error("the first segment of `{0}` must come before the last")]
    Segments(String),
    /// `lower` of something that is not text.
    #[error("`lower` is for strings, and `{field}` is {kind}")]
    Lower {
        /// The field.
        field: String,
        /// What its values are.
        kind: Kind,
    },
    /// An operator that does not apply to a field.
    #[error("`{operator}` is for {}, and `{field}` is {kind}", operator.applies_to())]
    Operator {
        /// The operator.
        operator: Operator,
        /// The field.
        field: String,
        /// What its values are.
        kind: Kind,
    },
    /// A value of another type than the operator compares this field with.
    #[error("`{field}` {operator} takes {expected}, found {found}")]
    Value {
        /// The field.
        field: String,
        /// The operator.
        operator: Operator,
        /// What it takes.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A regular expression that cannot be used.
    #[error("this regular expression {0}")]
    Regex(RegexFault),
}

/// The most mistakes that are told of one expression.
const MOST: usize = 20;

/// What was found to be wrong, as far as there is a point in telling it all.
pub(super) struct Mistakes<'t> {
    text: &'t str,
    found: Vec<Mistake>,
}

impl<'t> Mistakes<'t> {
    pub(super) fn in_text(text: &'t str) -> Mistakes<'t> {
        Mistakes { text, found: Vec::new() }
    }

    /// Notes a mistake at a byte of the text.
    pub(super) fn note(&mut self, at: usize, problem: Problem) {
        if self.found.len() < MOST {
            self.found.push(Mistake::at(self.text, at, problem));
        }
    }

    /// All of them, in the order of the text, after another one if there is.
    pub(super) fn into_sorted(mut self, last: Option<Mistake>) -> Vec<Mistake> {
        self.found.extend(last);
        self.found.sort_by_key(|mistake| (mistake.line, mistake.column));
        self.found
    }
}

impl Mistake {
    /// A mistake at a byte of the text.
    pub(super) fn at(text: &str, at: usize, problem: Problem) -> Mistake {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        Mistake { line, column, problem }
    }
}

impl Literal {
    /// What it is, with an article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Literal::Text(_) => "a string",
            Literal::Number(_) => "a number",
            Literal::Address(_) => "an IP address",
            Literal::Network(_) => "a network",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Text => "a string",
            Kind::Number => "a number",
            Kind::Address => "an IP address",
        })
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Traffic::Http => "HTTP requests",
            Traffic::Stream => "streams",
        })
    }
}
