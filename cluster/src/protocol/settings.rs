//! The settings that both ends of a link should have alike: where they differ, a control
//! plane checks and explains something else than its data planes do.
//!
//! Each end says its own, and warns of what the other has otherwise. The link stays: an
//! operator who changes a setting changes it on one node after the other.

use std::collections::BTreeMap;

/// Values of properties, by their names.
pub type Settings = BTreeMap<String, String>;

/// Of their settings, those that are other than ours. What only one end names, an older or a
/// newer release, is not compared.
pub(crate) fn differing(theirs: &Settings, ours: &Settings) -> Settings {
    let is_other =
        |(name, value): &(&String, &String)| ours.get(*name).is_some_and(|own| own != *value);
    let others = theirs.iter().filter(is_other);
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Such as `router_priority = documented (here kong_effective)`.
pub(crate) fn told(differing: &Settings, ours: &Settings) -> String {
    let told = differing.iter().map(|(name, value)| {
        let own = ours.get(name).map_or("", String::as_str);
        format!("{name} = {value} (here {own})")
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_name_is_compared() {
        let ours = settings(&[("flavor", "a"), ("order", "b"), ("old", "c")]);
        let theirs = settings(&[("flavor", "x"), ("order", "b"), ("new", "d")]);
        let found = differing(&theirs, &ours);
        assert_eq!(found, settings(&[("flavor", "x")]));
        assert_eq!(told(&found, &ours), "flavor = x (here a)");
        assert_eq!(differing(&Settings::new(), &ours), Settings::new());
    }

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}
