//! A line of the table of properties, named by where the property stands.

use super::Standing::{Effective, Inert, Mapped, Only, Refused};
use super::{Kind, Property};

impl Property {
    /// What does not fit into one line.
    pub(super) const fn more(mut self, text: &'static str) -> Self {
        self.more = text;
        self
    }
}

/// One that does what it says.
pub(super) const fn effective(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    readers: &'static [&'static str],
    meaning: &'static str,
) -> Property {
    Property { name, kind, default, standing: Effective, readers, meaning, more: "" }
}

/// Another name of one.
pub(super) const fn mapped(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    to: &'static str,
) -> Property {
    Property { name, kind, default, standing: Mapped(to), readers: &[], meaning: to, more: "" }
}

/// One that is taken and does nothing, and why.
pub(super) const fn inert(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
    why: &'static str,
) -> Property {
    Property { name, kind, default, standing: Inert(why), readers: &[], meaning, more: "" }
}

/// One of which only these values do what they say, and why.
pub(super) const fn only(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    readers: &'static [&'static str],
    values: &'static [&'static str],
    meaning: &'static str,
    why: &'static str,
) -> Property {
    Property { name, kind, default, standing: Only(values, why), readers, meaning, more: "" }
}

/// One that a node does not start with, and why.
pub(super) const fn refused(
    name: &'static str,
    kind: Kind,
    meaning: &'static str,
    why: &'static str,
) -> Property {
    Property { name, kind, default: "", standing: Refused(why), readers: &[], meaning, more: "" }
}
