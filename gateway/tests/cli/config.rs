//! `gateway config`: files with the whole configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::*;

#[test]
fn an_example_is_written_once_and_can_be_read() {
    let node = Node::new();
    let file = node.at("kong.yml");
    assert_eq!(gateway(&["config", "init", &file]).well(), "");
    assert_eq!(node.run(&["config", "parse", &file]).well(), "parse successful\n");
    let conf = node.at("g.conf");
    assert_eq!(gateway(&["config", "-c", &conf, "parse", &file]).well(), "parse successful\n");
    let error = gateway(&["config", "init", &file]).badly();
    assert!(error.starts_with(&format!("Error: {file} already exists.\nWill not overwrite it.")));
    // What it shows is a configuration, too.
    let example = fs::read_to_string(&file).unwrap();
    let shown = example.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
    let shown = shown.skip_while(|line| !line.starts_with("_format")).filter(|line| {
        !line.ends_with(':') || line.ends_with("services:") || line.ends_with("routes:")
    });
    let shown: Vec<_> = shown.take_while(|line| !line.contains("- cert")).collect();
    fs::write(&file, shown.join("\n").replace("A certificate, and", "# A certificate, and"))
        .unwrap();
    assert_eq!(node.run(&["config", "parse", &file]).well(), "parse successful\n");
}

#[test]
fn a_file_is_told_everything_that_is_wrong_with_it() {
    let node = Node::new();
    let file = node.at("kong.yml");
    fs::write(
        &file,
        "_format_version: '3.0'\nservices: [{name: s}]\nroutes: [{name: r, paths: [x]}]\n",
    )
    .unwrap();
    for command in ["parse", "db_import"] {
        let error = node.run(&["config", command, &file]).badly();
        assert!(error.starts_with("Error: Failed parsing:\n"), "{error}");
        for line in [
            "\n  services.1.host: required field missing\n",
            "\n  routes.1.paths.1: should start with: /",
        ] {
            assert!(error.contains(line), "{line}{error}");
        }
    }
    // Only the engine knows what it can match with.
    fs::write(&file, "_format_version: '3.0'\nroutes: [{name: r, paths: ['~/(?=a)b']}]\n").unwrap();
    let error = node.run(&["config", "parse", &file]).badly();
    assert!(error.contains("routes.1"), "{error}");
    assert!(
        node.run(&["config", "parse", "/no/such.yml"]).badly().contains("cannot read /no/such.yml")
    );
    assert!(gateway(&["config", "check"]).badly().contains("No such command for config: check"));
}

#[test]
fn a_file_goes_into_the_database_and_comes_out_again() {
    let node = Node::new();
    let (file, out) = (node.at("kong.yml"), node.at("out.yml"));
    fs::write(&file, "_format_version: '3.0'\nservices: [{name: s, host: h}]\n").unwrap();
    let error = node.run(&["config", "db_export", &out]).badly();
    assert!(error.contains("there is no database at "), "{error}");
    let said = node.run(&["config", "db_import", &file]).well();
    assert_eq!(said, "parse successful, beginning import\nimport successful\n");
    let again = node.run(&["config", "db_import", &file, "--v"]);
    assert!(again.err.contains("1 entities; nothing changed, at revision 1.2 ("), "{again:?}");

    node.run(&["config", "db_export", &out]).well();
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("_format_version: '3.0'\n_transform: false\nservices:\n"), "{text}");
    assert!(node.run(&["config", "db_export", &out]).badly().contains("Will not overwrite it."));
    assert_eq!(node.run(&["config", "parse", &out]).well(), "parse successful\n");
}

/// A node writes alone, and does not look whether somebody else has.
#[test]
fn a_database_that_is_in_use_is_read_but_not_written() {
    let node = Node::new();
    let file = node.at("kong.yml");
    fs::write(&file, "_format_version: '3.0'\n").unwrap();
    let mut child = node.foreground();
    let error = node.run(&["config", "db_import", &file]).badly();
    assert!(error.contains(&format!("is running (pid {})", child.id())), "{error}");
    node.run(&["config", "db_export", &node.at("out.yml")]).well();
    assert!(child.try_wait().unwrap().is_none());
    gateway(&["stop", "-p", &node.prefix()]).well();
    child.wait().unwrap();
    node.run(&["config", "db_import", &file]).well();
}

#[test]
fn without_a_database_there_is_nothing_to_import_into() {
    let node = Node::new();
    let file = node.at("kong.yml");
    fs::write(&file, "_format_version: '3.0'\n").unwrap();
    for (role, more) in [("traditional", "database = off"), ("data_plane", "")] {
        node.configure(&format!("role = {role}\n{more}"));
        for command in ["db_import", "db_export"] {
            let error = node.run(&["config", command, &file]).badly();
            assert!(
                error.contains(&format!("'config {command}' only works with a database.")),
                "{error}"
            );
        }
    }
}
