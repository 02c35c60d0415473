//! What is wrong with a regular expression, and what to write instead.

use super::LARGEST;
use regex_syntax::ast::{self, ErrorKind};

/// Why a regular expression cannot be used, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexFault {
    /// `(?=…)`, `(?!…)`, `(?<=…)` or `(?<!…)`.
    #[error(
        "looks around, which matching in linear time cannot; instead of excluding paths, give \
         them a route of their own with a higher `regex_priority` or `priority`, and instead of \
         looking ahead, match what follows"
    )]
    LookAround,
    /// `\1` or `\k<name>`.
    #[error(
        "refers back to a group, which matching in linear time cannot; write the alternatives \
         out, as in `(a/a|b/b)`"
    )]
    Backreference,
    /// `(?>…)`.
    #[error(
        "has an atomic group or an unknown flag; nothing is ever matched twice here, so `(?:…)` \
         does the same as `(?>…)`"
    )]
    AtomicGroup,
    /// An escape of another dialect.
    #[error(
        "has an escape that is not known; write `\\z` for `\\Z`, `[ \\t]` for `\\h`, `\\A` for \
         `\\G`, and a letter that stands for itself without the backslash"
    )]
    Escape,
    /// It takes more memory than is allowed.
    #[error("takes more than {LARGEST} bytes once compiled; make counted repetitions smaller")]
    TooLarge,
    /// With it, all of a revision take more memory than is allowed.
    #[error(
        "is too much: with it, the regular expressions of all routes take more than {0} bytes once \
         compiled, and later ones were not looked at; make counted repetitions smaller, write the \
         same expression alike wherever it is meant, or have routes go by prefixes"
    )]
    TooMany(usize),
    /// With it, those that take more than usual take too much.
    #[error(
        "is too much: it is large, and with it, what the large regular expressions of all routes \
         take beyond 16 KiB each is more than {0} bytes, and later ones were not looked at; make \
         counted repetitions and lists of alternatives smaller"
    )]
    TooManyLarge(usize),
    /// It is none, in any dialect.
    #[error("is not well-formed: {0}")]
    Syntax(String),
}

impl RegexFault {
    pub(super) fn of(error: &ast::Error) -> RegexFault {
        match error.kind() {
            ErrorKind::UnsupportedLookAround => RegexFault::LookAround,
            ErrorKind::UnsupportedBackreference => RegexFault::Backreference,
            ErrorKind::FlagUnrecognized => RegexFault::AtomicGroup,
            // PCRE's way to refer to a group by name.
            ErrorKind::EscapeUnrecognized if refers_back(error) => RegexFault::Backreference,
            ErrorKind::EscapeUnrecognized => RegexFault::Escape,
            kind => RegexFault::Syntax(kind.to_string()),
        }
    }
}

fn refers_back(error: &ast::Error) -> bool {
    let span = error.span();
    matches!(error.pattern().get(span.start.offset..span.end.offset), Some("\\k" | "\\g"))
}
