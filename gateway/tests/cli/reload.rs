//! `gateway reload`: all or nothing, and what waits for a restart is named.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use crate::support::*;

#[test]
fn a_reload_with_a_mistake_changes_nothing() {
    let node = Node::new();
    node.run(&["start", "--daemon"]).well();
    let remembered = fs::read(node.path("prefix/.gateway_env")).unwrap();

    node.configure("log_level = loud");
    assert!(node.run(&["reload"]).badly().contains("log_level = \"loud\""));
    assert_eq!(fs::read(node.path("prefix/.gateway_env")).unwrap(), remembered);

    node.configure("role = data_plane");
    let error = node.run(&["reload"]).badly();
    assert!(error.contains("the role of a running node can not change; restart it"), "{error}");

    node.configure("log_level = debug");
    assert_eq!(node.run(&["reload"]).well(), "Gateway reloaded\n");
    assert!(fs::read_to_string(node.path("prefix/.gateway_env")).unwrap().contains("\"debug\""));
    node.run(&["stop"]).well();
}

#[test]
fn a_reload_names_what_waits_until_it_is_as_it_was() {
    let node = Node::new();
    node.run(&["start", "--daemon"]).well();
    let waits = "has changed, which takes effect at the next restart\n";
    let expected =
        format!("[warn] audit_keep_days {waits}[warn] cluster_data_plane_purge_delay {waits}");
    for level in ["debug", "info"] {
        node.configure(&format!(
            "log_level = {level}\naudit_keep_days = 5\ncluster_data_plane_purge_delay = 61"
        ));
        let said = node.run(&["reload"]);
        assert_eq!(said.err, expected, "{said:?}");
        assert_eq!(said.well(), "Gateway reloaded\n");
    }
    node.configure("");
    let said = node.run(&["reload"]);
    assert_eq!(said.err, "", "{said:?}");
    node.run(&["stop"]).well();
}

/// Its prefix is the same from wherever it is named.
#[test]
fn a_prefix_may_be_named_from_another_directory() {
    let node = Node::new();
    node.run(&["start", "--daemon"]).well();
    for (directory, name) in [("prefix/pids", ".."), ("prefix", "."), (".", "prefix")] {
        let mut reload = program(Path::new(GATEWAY));
        reload.current_dir(node.path(directory)).args(["reload", "--prefix", name]);
        let said = said(&mut reload);
        assert_eq!(said.err, "", "{said:?}");
        assert_eq!(said.well(), "Gateway reloaded\n");
    }
    node.run(&["stop"]).well();
}

/// One of its files has become a pipe that nobody writes to.
#[test]
fn a_node_that_rereads_its_files_ends_when_told() {
    let node = Node::new();
    node.run(&["start", "--daemon"]).well();
    fs::remove_file(node.path("c.crt")).unwrap();
    assert!(Command::new("mkfifo").arg(node.path("c.crt")).status().unwrap().success());
    let pid = fs::read_to_string(node.path("prefix/pids/gateway.pid")).unwrap();
    assert!(Command::new("kill").args(["-HUP", pid.trim()]).status().unwrap().success());
    // Opened by whoever reads it: from now on the node waits for what never comes.
    let _writer = File::options().write(true).open(node.path("c.crt")).unwrap();
    assert_eq!(gateway(&["stop", "-p", &node.prefix()]).well(), "Gateway stopped\n");
}
