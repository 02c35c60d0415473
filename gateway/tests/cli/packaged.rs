//! What the packages bring: configurations and units.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::*;

fn packaged(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name))
        .unwrap()
}

#[test]
fn packaged_configurations_are_valid_and_show_the_defaults() {
    let node = Node::new();
    let token = gateway(&["admin", "token", "ci"]).well();
    let line = token.lines().find_map(|line| line.strip_prefix("line: "));
    fs::write(node.path("tokens"), line.unwrap()).unwrap();
    fs::set_permissions(node.path("tokens"), Permissions::from_mode(0o600)).unwrap();
    // As the units do: nobody but the superuser makes anything where the default is.
    let check = |name: &str| {
        let mut command = program(Path::new(GATEWAY));
        said(command.args(["check", &node.at(name)]).env("GATEWAY_PREFIX", node.prefix()))
    };
    for name in ["gateway-cp.conf", "gateway-dp.conf"] {
        let place = |text: String| {
            text.replace("/etc/gateway/cluster.crt", &node.at("c.crt"))
                .replace("/etc/gateway/cluster.key", &node.at("c.key"))
                .replace("/etc/gateway/admin.tokens", &node.at("tokens"))
        };
        fs::write(node.path(name), place(packaged(name))).unwrap();
        let said = check(name);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{name}: {said:?}");

        // With every example taken up, nothing is unknown or without effect either.
        let all = packaged(name).replace("\n#", "\n").replace("cluster_trust_key =\n", "");
        let lines = all
            .lines()
            .filter(|line| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')));
        let text: Vec<_> = lines
            .filter(|line| !line.starts_with("declarative_config"))
            .map(str::to_owned)
            .collect();
        fs::write(node.path(name), place(text.join("\n"))).unwrap();
        let said = check(name);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{name}: {said:?}");
    }
}

/// `systemd-analyze verify` wants the program to exist, so a copy points at the one just built.
#[test]
fn units_are_what_systemd_expects() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["gateway-cp.service", "gateway-dp.service"] {
        let unit = packaged(&format!("systemd/{name}"));
        assert!(unit.contains("ExecStart=/usr/bin/gateway start "), "{unit}");
        let copy = dir.path().join(name);
        fs::write(&copy, unit.replace("/usr/bin/gateway", GATEWAY)).unwrap();
        let mut command = Command::new("systemd-analyze");
        let Ok(output) = command.args(["verify", "--man=no"]).arg(&copy).output() else {
            return; // no systemd on this machine
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains(name), "{said}");
    }
}
