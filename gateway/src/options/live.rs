//! What a reload changes in a running process, and what waits for the next start.
//!
//! The command and the process ask the same functions, so that the console says what the log does.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::Reader;
use crate::properties::{self, Standing};

/// The text of every property that was set and that this node reads.
pub type Texts = BTreeMap<String, String>;

/// What is said of a property of which [`waiting`] names the name.
pub const WAITS: &str = "has changed, which takes effect at the next restart";

/// Whether a reload changes this in a running process. The document of a node without a database is
/// read again; that of a data plane only counts at its start.
fn is_live(name: &str, wanted: &Texts) -> bool {
    match name {
        "log_level" => true,
        "declarative_config" | "declarative_config_string" => {
            wanted.get("role").is_none_or(|role| role != "data_plane")
        }
        _ => false,
    }
}

/// The properties that a process running with `running` does not take up, each once. Not its prefix,
/// however it is spelled: both have been read from there.
pub fn waiting<'a>(running: &'a Texts, wanted: &'a Texts) -> impl Iterator<Item = &'a str> {
    let names: BTreeSet<_> = running.keys().chain(wanted.keys()).map(String::as_str).collect();
    names
        .into_iter()
        .filter(|name| *name != "prefix" && !is_live(name, wanted))
        .filter(|name| running.get(*name) != wanted.get(*name))
}

/// What it runs with after the reload.
pub fn taken_up(running: &Texts, wanted: &Texts) -> Texts {
    let fixed = running.iter().filter(|(name, _)| !is_live(name, wanted));
    let live = wanted.iter().filter(|(name, _)| is_live(name, wanted));
    fixed.chain(live).map(|(name, text)| (name.clone(), text.clone())).collect()
}

impl Reader<'_> {
    /// To be asked once everything has been read.
    pub(super) fn texts(&self) -> Texts {
        let asked = self.asked();
        let is_read = |name: &str| match properties::standing(name) {
            Some(Standing::Effective) => asked.contains(name),
            Some(Standing::Mapped(to)) => asked.contains(to),
            _ => false,
        };
        let read = self.settings.iter().filter(|(name, _)| is_read(name));
        read.map(|(name, setting)| (name.to_owned(), setting.text.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn what_waits_is_named_once_and_until_it_is_as_it_was() {
        let first = texts(&[("workers", "1"), ("prefix", "/p"), ("log_level", "info")]);
        let second = texts(&[("workers", "2"), ("prefix", "/p"), ("admin_listen", "off")]);
        let names = |running: &Texts, wanted: &Texts| {
            waiting(running, wanted).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(names(&first, &second), ["admin_listen", "workers"]);
        let running = taken_up(&first, &second);
        assert_eq!(running, texts(&[("workers", "1"), ("prefix", "/p")]));
        assert_eq!(names(&running, &second), ["admin_listen", "workers"]);
        assert!(names(&running, &first).is_empty());
    }

    #[test]
    fn a_document_waits_at_a_data_plane_only() {
        let texts = |role, file| texts(&[("role", role), ("declarative_config", file)]);
        let changed = |role| waiting(&texts(role, "a.yml"), &texts(role, "b.yml")).count();
        assert_eq!((changed("traditional"), changed("data_plane")), (0, 1));
    }
}
