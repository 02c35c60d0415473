//! The table of properties against the code that reads them.

use super::*;
use crate::properties::Property;

/// The table against the code, both ways. What is read and then let go, the compiler reports: a field
/// of the options that nobody reads is dead code.
#[test]
fn exactly_what_is_marked_effective_is_read() {
    let mut read = BTreeSet::new();
    let other_cache = data_plane("data_plane_config_cache_path = /c");
    for lines in ["", &control_plane(""), &data_plane(""), &other_cache] {
        for mode in [Mode::Foreground, Mode::Detached] {
            read.extend(asked(lines, mode));
        }
    }
    assert_eq!(disagreements(&read), [""; 0]);

    read.remove("port_maps");
    read.insert("kic");
    assert_eq!(
        disagreements(&read),
        ["kic is read, so it has an effect", "port_maps: who reads it?"]
    );
}

/// Where what the table says of a property is not what the code does with it.
fn disagreements(read: &BTreeSet<&'static str>) -> Vec<String> {
    let disagrees = |property: &Property| {
        let name = property.name;
        match (property.standing, read.contains(name)) {
            (Standing::Effective, false) => Some(format!("{name}: who reads it?")),
            (Standing::Inert(_) | Standing::Mapped(_) | Standing::Refused(_), true) => {
                Some(format!("{name} is read, so it has an effect"))
            }
            // With one possible value left, there may be nothing to read for.
            (Standing::Effective, true) | (Standing::Only(..), _) | (_, false) => None,
        }
    };
    TABLE.iter().filter_map(disagrees).collect()
}
