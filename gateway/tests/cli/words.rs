//! What commands there are, and what they are called.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::*;

#[test]
fn version_is_ours_and_names_kongs() {
    assert_eq!(gateway(&["version"]).well(), format!("{}\n", model::VERSION));
    assert_eq!(
        gateway(&["version", "-a"]).well(),
        format!("{}\nKong compatibility: 3.10.0\n", model::VERSION)
    );
}

#[test]
fn help_names_every_command() {
    let help = gateway(&["--help"]).well();
    for command in [
        "start", "stop", "quit", "restart", "reload", "prepare", "drain", "health", "check",
        "version", "hybrid",
    ] {
        assert!(help.contains(&format!("  {command} ")), "{command}: {help}");
        assert!(gateway(&[command, "--help"]).well().contains("Usage: gateway"), "{command}");
    }
    let hybrid = gateway(&["hybrid", "--help"]).well();
    assert!(hybrid.contains("gen_cert") && hybrid.contains("--days"), "{hybrid}");
}

#[test]
fn an_unknown_command_is_named() {
    assert!(gateway(&["dance"]).badly().starts_with("Error: No such command: dance\n"));
    assert!(
        gateway(&["hybrid", "dance"])
            .badly()
            .starts_with("Error: No such command for hybrid: dance\n")
    );
    assert!(
        gateway(&["start", "--dance"]).badly().starts_with("Error: unexpected argument '--dance'")
    );
    assert_eq!(gateway(&[]).code, Some(1));
}

#[test]
fn called_by_the_name_kong_it_says_kong() {
    let dir = tempfile::tempdir().unwrap();
    let kong = dir.path().join("kong");
    symlink(GATEWAY, &kong).unwrap();
    let said = said(program(&kong).args(["health", "-p", &dir.path().display().to_string()]));
    assert!(said.badly().contains("Kong is not running at"));
}

#[test]
fn nginx_templates_are_refused() {
    let error = gateway(&["start", "--nginx-conf", "x"]).badly();
    assert!(error.contains("there is no nginx underneath"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    assert!(
        gateway(&["check", "/no/such.conf"])
            .badly()
            .starts_with("Error: no file at: /no/such.conf\n")
    );
    assert!(
        gateway(&["start", "-c", "/no/such.conf"])
            .badly()
            .starts_with("Error: no file at: /no/such.conf\n")
    );
}

#[test]
fn a_secret_is_never_shown() {
    let mut command = program(Path::new(GATEWAY));
    command.args(["check", "/dev/null", "--vv"]).env("KONG_PG_PASSWORD", "hunter2");
    let error = said(command.env("KONG_PG_PORT", "0")).badly();
    assert!(error.contains("pg_password = \"******\" (KONG_PG_PASSWORD)"), "{error}");
    assert!(error.contains("pg_port = \"0\" (KONG_PG_PORT): must be 1 or greater"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}
