//! What is wrong with what the operator said.

use std::error::Error;
use std::fmt::{self, Display};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// The property it is about.
    pub property: String,
    /// What was said and where, such as `"x" (g.conf:3)`; `None` if nothing was.
    pub said: Option<String>,
    /// What is wrong with it, or what would be right.
    pub what: String,
}

/// Everything that is wrong, in the order of the properties' table where it is about single values.
#[derive(Debug, PartialEq)]
pub struct Mistakes(pub Vec<Mistake>);

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
        match self.0.as_slice() {
            [one] => write!(f, "{one}"),
            many => {
                write!(f, "{} mistakes in the configuration:", many.len())?;
                many.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl Error for Mistakes {}
