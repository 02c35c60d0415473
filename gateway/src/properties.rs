//! Every property an operator may set, and what becomes of it here.
//!
//! [`GROUPS`] is the one list: what is not in it is a typing mistake. A property is effective, another
//! name of one, accepted without effect (said at start) or refused, because going on without it would
//! not be what the operator asked for. [`crate::options`] reads the effective ones.

mod table;
mod line; // one of its lines, named by where the property stands
#[cfg(test)]
mod reference; // docs/properties.md

pub use table::{FAMILIES, GROUPS};

/// One property of a configuration file.
#[derive(Debug)]
pub struct Property {
    /// As written in the file; upper-cased after `GATEWAY_` or `KONG_` in the environment.
    pub name: &'static str,
    /// What its text must look like.
    pub kind: Kind,
    /// The text that counts where nothing was set; empty means unset.
    pub default: &'static str,
    /// What becomes of it.
    pub standing: Standing,
    /// The roles that read it; none where it changes nothing.
    pub readers: &'static [&'static str],
    /// One line for the operator.
    pub meaning: &'static str,
    /// A few more, where one is not enough; else empty.
    pub more: &'static str,
}

/// Properties about one thing.
#[derive(Debug)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// A line about all of them.
    pub about: &'static str,
    /// They.
    pub properties: &'static [Property],
}

/// What the text of a property must look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Any text, never shown.
    Secret,
    /// A path, absolute or relative to where the process was started.
    Path,
    /// A certificate or public key: a path, PEM, or base64 of PEM.
    Pem,
    /// A private key: a path, PEM, or base64 of PEM; never shown.
    PemKey,
    /// `on`, `off`, `true` or `false`.
    Flag,
    /// A whole number.
    Whole,
    /// A number, possibly with a fraction.
    Number,
    /// A time: a whole number of seconds, or of what its unit says: `ms`, `s`, `m`, `h`, `d`.
    Time,
    /// Bytes: a whole number and, optionally, `k`, `m` or `g`.
    Size,
    /// Comma-separated texts.
    List,
    /// `off`, or comma-separated `addr:port [flags]`.
    Listen,
    /// A file, `/dev/stdout`, `/dev/stderr` or `off`.
    Log,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// What becomes of a property that was set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// It does what its meaning says.
    Effective,
    /// It is read as the property named here.
    Mapped(&'static str),
    /// It changes nothing, for the reason given; said once at start.
    Inert(&'static str),
    /// Effective with these values; another is an error, for the reason given.
    Only(&'static [&'static str], &'static str),
    /// Setting it is an error, for the reason given.
    Refused(&'static str),
}

/// Names that Kong makes up by a pattern, such as `nginx_http_*`.
#[derive(Debug)]
pub struct Family {
    /// What they begin with.
    pub prefix: &'static str,
    /// Only those ending so; empty for all.
    pub suffix: &'static str,
    /// What becomes of them.
    pub standing: Standing,
}

impl Property {
    /// Whether its value must not be shown or logged.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::PemKey)
    }
}

/// Every property.
pub fn all() -> impl Iterator<Item = &'static Property> {
    GROUPS.iter().flat_map(|group| group.properties)
}

/// The property of that name, if there is one.
pub fn find(name: &str) -> Option<&'static Property> {
    all().find(|property| property.name == name)
}

/// What becomes of `name`, whether it is in the table or in a family.
pub fn standing(name: &str) -> Option<Standing> {
    let family = || FAMILIES.iter().find(|family| family.holds(name)).map(|family| family.standing);
    find(name).map(|property| property.standing).or_else(family)
}

/// The real name that an unknown one most likely stands for, if any is close.
pub fn nearest(name: &str) -> Option<&'static str> {
    let by_distance =
        all().map(|property| (strsim::osa_distance(name, property.name), property.name));
    let (distance, nearest) = by_distance.min()?;
    (distance <= name.len() / 4 + 1).then_some(nearest)
}

impl Family {
    fn holds(&self, name: &str) -> bool {
        name.strip_prefix(self.prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.ends_with(self.suffix))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_name_is_listed_once() {
        let names: HashSet<_> = all().map(|p| p.name).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn every_property_says_what_it_means() {
        for property in all() {
            assert!(!property.meaning.is_empty(), "{}", property.name);
            assert!(!property.meaning.contains('\n'), "{}", property.name);
        }
    }

    #[test]
    fn what_is_mapped_leads_to_something_effective() {
        for property in all() {
            if let Standing::Mapped(to) = property.standing {
                assert_eq!(
                    find(to).map(|p| p.standing),
                    Some(Standing::Effective),
                    "{} → {to}",
                    property.name
                );
            }
        }
    }

    #[test]
    fn a_default_is_never_refused() {
        for property in all() {
            if let Standing::Only(values, _) = property.standing {
                assert!(
                    property.default.is_empty() || values.contains(&property.default),
                    "{}",
                    property.name
                );
            }
            assert!(
                !matches!(property.standing, Standing::Refused(_)) || property.default.is_empty()
            );
        }
    }

    #[test]
    fn a_slip_finds_the_real_name() {
        for (slip, name) in [
            ("cluster_oscp", Some("cluster_ocsp")),
            ("rôle", Some("role")),
            ("proxy-listen", Some("proxy_listen")),
            ("cluster_certkey", Some("cluster_cert_key")),
            ("gibberish_of_no_kind", None),
        ] {
            assert_eq!(nearest(slip), name, "{slip}");
        }
    }

    #[test]
    fn rules_about_who_may_enter_are_not_ignored() {
        for name in [
            "nginx_admin_allow",
            "nginx_proxy_deny",
            "nginx_http_auth_basic",
            "nginx_status_ssl_verify_client",
            "nginx_admin_ssl_crl",
        ] {
            assert!(matches!(standing(name), Some(Standing::Refused(_))), "{name}");
        }
        assert!(matches!(standing("nginx_http_gzip"), Some(Standing::Inert(_))));
        assert_eq!(standing("nginx_http_"), None);
    }

    /// Every property that Kong 3.9 or 3.10 ships a default for, or names in its default file.
    #[test]
    fn kongs_own_properties_are_all_known() {
        let missing: Vec<_> = include_str!("properties/kong-3.txt")
            .lines()
            .filter(|n| standing(n).is_none())
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
