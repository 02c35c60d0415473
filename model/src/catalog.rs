//! The types of plugins, as far as one can know them without running one.
//!
//! An engine lists the types it has, and an operator chooses among them: a [`Catalog`] is what may be
//! used. What is in the `config` of a plugin is declared by its type; see [`Kind::OfType`].
//!
//! [`Kind::OfType`]: crate::schema::Kind::OfType

use std::fmt;

use crate::schema::Schema;
use crate::value::Protocol;

/// A type of plugin.
#[derive(Debug)]
pub struct PluginType {
    /// What it is called, such as `key-auth`.
    pub name: &'static str,
    /// Its own version, which clients are told.
    pub version: &'static str,
    /// Which go first: those with the higher priority.
    pub priority: i32,
    /// What its `config` is. Names of fields in its checks are told with `config.` before them.
    pub config: &'static Schema,
    /// The protocols its plugins can be for, and are for where nothing is said.
    pub protocols: &'static [Protocol],
    /// The foreign keys its plugins have no use for, such as `consumer`: they must be null.
    pub forbids: &'static [&'static str],
}

/// The types of plugins that may be used.
#[derive(Clone, Copy, Default)]
pub struct Catalog {
    types: &'static [PluginType],
    /// A bit for each that may not.
    left_out: u128,
}

impl Catalog {
    /// All of these, of which there are 128 at most.
    pub const fn of(types: &'static [PluginType]) -> Self {
        assert!(types.len() <= 128, "a bit for each");
        Self { types, left_out: 0 }
    }

    /// Those of them whose names are kept.
    #[must_use]
    pub fn only(self, keep: impl Fn(&str) -> bool) -> Self {
        let numbered = (0..).zip(self.types);
        let dropped = numbered.filter(|(_, plugin)| !keep(plugin.name));
        let left_out = dropped.fold(self.left_out, |bits, (n, _): (u32, _)| bits | 1 << n);
        Self { left_out, ..self }
    }

    /// The type of this name.
    pub fn get(&self, name: &str) -> Option<&'static PluginType> {
        self.iter().find(|plugin| plugin.name == name)
    }

    /// All of them, as the engine lists them.
    pub fn iter(&self) -> impl Iterator<Item = &'static PluginType> + use<> {
        let left_out = self.left_out;
        let numbered = (0..).zip(self.types);
        numbered.filter(move |(n, _): &(u32, _)| left_out >> n & 1 == 0).map(|(_, plugin)| plugin)
    }
}

/// The names.
impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|plugin| plugin.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_is_left_out_is_not_there() {
        let all = testing::catalog();
        let some = all.only(|name| name != "cors").only(|name| name != "key-auth");
        assert!(all.get("cors").is_some() && all.get("nope").is_none());
        assert_eq!(
            (some.get("cors").is_some(), some.get("rate-limiting").is_some()),
            (false, true)
        );
        assert_eq!(some.iter().count(), all.iter().count() - 2);
        assert_eq!(format!("{:?}", all.only(|name| name == "cors")), r#"{"cors"}"#);
        assert_eq!(Catalog::default().iter().count(), 0);
    }
}
