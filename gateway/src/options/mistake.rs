//! What is wrong with what the operator said.

use std::error::Error;
use std::fmt::{self, Display};

use super::Notice;
use crate::conf::BadLine;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// The property it is about; the line, where that names none.
    pub property: String,
    /// What was said and where, such as `"x" (g.conf:3)`; `None` if nothing was.
    pub said: Option<String>,
    /// What is wrong with it, or what would be right.
    pub what: String,
}

/// Everything that is wrong, and what else there is to say.
#[derive(Debug, PartialEq)]
pub struct Mistakes {
    /// Never none; in the order of the properties' table where they are about single values.
    pub all: Vec<Mistake>,
    /// What the operator should read besides: a warning may well explain a mistake.
    pub notices: Vec<Notice>,
}

impl Mistake {
    /// A line that is no `key = value`.
    pub(super) fn of_line(line: &BadLine) -> Self {
        Self { property: line.at.to_string(), said: None, what: line.what.clone() }
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.said {
            Some(said) => write!(f, "{} = {said}: {}", self.property, self.what),
            None => write!(f, "{}: {}", self.property, self.what),
        }
    }
}

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.all.as_slice() {
            [one] => write!(f, "{one}"),
            many => {
                write!(f, "{} mistakes in the configuration:", many.len())?;
                many.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl Error for Mistakes {}
