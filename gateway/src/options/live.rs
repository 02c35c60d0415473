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
/// read again; that of a data plane only counts at its start. Who is let in, and what they are shown,
/// is taken up for the listeners it was checked with.
fn is_live(name: &str, running: &Texts, wanted: &Texts) -> bool {
    match name {
        "log_level" => true,
        _ if ENTRANCE.contains(&name) => running.get("admin_listen") == wanted.get("admin_listen"),
        "declarative_config" | "declarative_config_string" => {
            wanted.get("role").is_none_or(|role| role != "data_plane")
        }
        _ => false,
    }
}

/// Who is let in to the Admin API, and what they are shown.
const ENTRANCE: [&str; 7] = [
    "admin_api_tokens_file",
    "admin_auth",
    "admin_ssl_cert",
    "admin_ssl_cert_key",
    "nginx_admin_ssl_client_certificate",
    "nginx_admin_ssl_verify_client",
    "nginx_admin_ssl_verify_depth",
];

/// The properties that a process running with `running` does not take up, each once. Not its prefix,
/// however it is spelled: both have been read from there.
pub fn waiting<'a>(running: &'a Texts, wanted: &'a Texts) -> impl Iterator<Item = &'a str> {
    let names: BTreeSet<_> = running.keys().chain(wanted.keys()).map(String::as_str).collect();
    names
        .into_iter()
        .filter(|name| *name != "prefix" && !is_live(name, running, wanted))
        .filter(|name| running.get(*name) != wanted.get(*name))
}

/// What it runs with after the reload.
pub fn taken_up(running: &Texts, wanted: &Texts) -> Texts {
    let fixed = running.iter().filter(|(name, _)| !is_live(name, running, wanted));
    let live = wanted.iter().filter(|(name, _)| is_live(name, running, wanted));
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
    fn who_is_let_in_waits_where_the_listeners_do() {
        let with =
            |listen, tokens| texts(&[("admin_listen", listen), ("admin_api_tokens_file", tokens)]);
        let names = |running: &Texts, wanted: &Texts| {
            waiting(running, wanted).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(names(&with("0.0.0.0:1", "a"), &with("0.0.0.0:1", "b")).is_empty());
        let (running, wanted) = (with("0.0.0.0:1", "a"), with("127.0.0.1:1", "b"));
        assert_eq!(names(&running, &wanted), ["admin_api_tokens_file", "admin_listen"]);
        assert_eq!(taken_up(&running, &wanted), running);
    }

    #[test]
    fn a_document_waits_at_a_data_plane_only() {
        let texts = |role, file| texts(&[("role", role), ("declarative_config", file)]);
        let changed = |role| waiting(&texts(role, "a.yml"), &texts(role, "b.yml")).count();
        assert_eq!((changed("traditional"), changed("data_plane")), (0, 1));
    }
}
