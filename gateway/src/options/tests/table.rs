//! The table of properties against the code that reads them.

use super::*;
use crate::properties::Property;

/// The table against the code, both ways. What is read and then let go, the compiler reports: a field
/// of the options that nobody reads is dead code.
#[test]
fn exactly_what_is_marked_effective_is_read() {
    let mut read = BTreeSet::new();
    let other_cache = data_plane("data_plane_config_cache_path = /c\nstatus_listen = [::1]:1 ssl");
    for lines in ["", "database = postgres", &control_plane(""), &data_plane(""), &other_cache] {
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

/// What a role asks for only to say that it does not want it, or that it has no use for it.
const ASKED_IN_VAIN: &[(&str, &str)] = &[
    ("control_plane", "cluster_dp_labels"),
    ("traditional", "cluster_dp_labels"),
    ("control_plane", "declarative_config"),
    ("control_plane", "declarative_config_string"),
    ("control_plane", "proxy_access_log"),
    ("control_plane", "proxy_stream_access_log"),
    ("control_plane", "proxy_stream_error_log"),
    ("data_plane", "admin_access_log"),
    ("traditional", "cluster_data_plane_purge_delay"),
];

#[test]
fn each_is_read_by_the_roles_it_says() {
    let custom = "ssl_cipher_suite = custom\nssl_ciphers = ALL\nstatus_listen = [::1]:1 ssl\n";
    let other_cache = format!("{custom}data_plane_config_cache_path = /c");
    for (role, files) in [
        ("traditional", [format!("{custom}pg_ssl = on"), format!("{custom}database = off")]),
        ("control_plane", [control_plane(custom), control_plane("database = postgres")]),
        ("data_plane", [data_plane(""), data_plane(&other_cache)]),
    ] {
        let read: BTreeSet<_> =
            files.iter().flat_map(|lines| asked(lines, Mode::Detached)).collect();
        for property in properties::all().filter(|p| p.standing == Standing::Effective) {
            let name = property.name;
            let in_vain = ASKED_IN_VAIN.contains(&(role, name));
            let says = property.readers.contains(&role);
            assert_eq!(read.contains(name) && !in_vain, says, "{name}, read by a {role}");
        }
    }
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
    properties::all().filter_map(disagrees).collect()
}

/// As of Kong's default file with every line in force: nothing is unknown, wrong, or warned of.
#[test]
fn a_file_that_says_every_default_is_taken_without_a_word() {
    let names = include_str!("../../properties/kong-3.txt").lines();
    let lines = names.filter_map(|name| {
        let default = properties::find(name)?.default;
        // Of its own default the listener with TLS is left out.
        (!default.is_empty() && name != "admin_listen").then(|| format!("{name} = {default}\n"))
    });
    let lines: String = lines.collect();
    assert!(lines.lines().count() > 100);
    let warnings: Vec<_> = good(&format!("{lines}database = sqlite")).notices;
    let warnings: Vec<_> =
        warnings.iter().filter(|notice| matches!(notice, Notice::Warning(_))).collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
}
