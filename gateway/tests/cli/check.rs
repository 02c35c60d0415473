//! `gateway check`: what `start` would say, and nothing made.

use std::fs;
use std::path::Path;

use crate::support::*;

#[test]
fn check_says_that_a_file_is_valid() {
    let node = Node::new();
    let file = node.at("g.conf");
    assert_eq!(gateway(&["check", &file]).well(), format!("configuration at {file} is valid\n"));
    assert!(!node.path("prefix").exists(), "check makes nothing");
}

#[test]
fn check_lists_every_mistake_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.conf").display().to_string();
    let text =
        "role = boss\nlog_level = loud\nproxy_listn = off\nproxy_listen = nowhere\nnonsense\n";
    fs::write(&file, text).unwrap();
    let mut command = program(Path::new(GATEWAY));
    let error = said(
        command.args(["check", &file]).env("KONG_WORKERS", "many").env("GATEWAY_ROLE", "chief"),
    )
    .badly();
    for line in [
        "Error: 5 mistakes in the configuration:".to_owned(),
        format!("  {file}:5: expected `key = value`, found `nonsense`"),
        r#"  role = "chief" (GATEWAY_ROLE): expected one of: traditional, control_plane, data_plane"#.to_owned(),
        format!(r#"  log_level = "loud" ({file}:2): expected one of: debug, info"#),
        format!(r#"  proxy_listen = "nowhere" ({file}:4): proxy_listen must be of form: [off] | <ip>:<port>"#),
        r#"  workers = "many" (KONG_WORKERS): expected auto, or a number from 1 to 1024"#.to_owned(),
    ] {
        assert!(error.contains(&line), "{line}\n{error}");
    }
}

#[test]
fn check_warns_of_what_does_nothing() {
    let node = Node::new();
    node.configure("cluster_oscp = off\nmem_cache_size = 1g");
    let said = gateway(&["check", &node.at("g.conf")]);
    assert!(
        said.err.contains("cluster_oscp") && said.err.contains("did you mean cluster_ocsp?"),
        "{said:?}"
    );
    assert!(said.err.contains("mem_cache_size") && said.err.contains("has no effect"), "{said:?}");
    assert_eq!(said.code, Some(0));
}

#[test]
fn check_says_what_start_would_about_the_pair() {
    let node = Node::new();
    gateway(&["hybrid", "gen_cert", &node.at("d.crt"), &node.at("d.key"), "--days", "20"]).well();
    let conf = node.at("g.conf");

    node.configure(&format!("cluster_cert = {}\nlog_level = loud", node.at("d.crt")));
    let (checked, started) = (gateway(&["check", &conf]).badly(), node.run(&["start"]).badly());
    assert!(
        checked.contains("cluster_cert_key is not the private key of cluster_cert"),
        "{checked}"
    );
    assert!(checked.contains("log_level = \"loud\""), "{checked}");
    assert_eq!(checked, started);

    node.configure(&format!(
        "cluster_cert = {}\ncluster_cert_key = {}",
        node.at("d.crt"),
        node.at("d.key")
    ));
    let checked = gateway(&["check", &conf]);
    assert!(checked.err.contains("[warn] cluster_cert expires in "), "{checked:?}");
    checked.well();
}

#[test]
fn check_says_what_start_would_about_places() {
    let node = Node::new();
    let conf = node.at("g.conf");
    for (line, what) in [
        ("proxy_access_log = /no/such/x.log", "/no/such cannot be written to: No such file"),
        ("proxy_error_log = mine/x.log", "/prefix/mine cannot be written to: No such file"),
        ("admin_error_log = /", "/ is a directory"),
        ("prefix = /proc/1/x", "nothing can be made in /proc/1: it is the kernel's"),
        (
            "role = data_plane\nproxy_listen = 127.0.0.1:0\nnginx_http_client_body_temp_path = /proc/x",
            "nothing can be made in /proc: it is",
        ),
        ("prefix = /dev/null/x", "/dev/null/x cannot be written to: Not a directory"),
    ] {
        node.configure(line);
        let (checked, started) = (gateway(&["check", &conf]).badly(), node.run(&["start"]).badly());
        assert!(checked.contains(what), "{line}: {checked}");
        assert!(started.contains(what), "{line}: {started}");
    }
    node.configure("proxy_access_log = logs/x.log\nproxy_error_log = /dev/null");
    gateway(&["check", &conf]).well();
    assert!(!node.path("prefix").exists(), "check makes nothing");
}

/// Of a key given twice the last counts, as in Kong; an unknown name has the nearest; some do nothing.
#[test]
fn warnings_come_before_mistakes() {
    let node = Node::new();
    let mut child = node.foreground();
    node.configure("cluster_oscp = off\nmem_cache_size = 1g\nlog_level = info\nlog_level = loud");
    for command in ["check", "start", "prepare", "reload", "restart"] {
        let said = match command {
            "check" => gateway(&["check", &node.at("g.conf")]),
            command => node.run(&[command]),
        };
        let error = said.badly();
        let (warnings, mistakes) = error.split_once("Error: ").unwrap();
        for warning in [
            "[warn] log_level (G:11) is also set on line 10; the later line counts\n",
            "[warn] cluster_oscp (G:8) is not a property; did you mean cluster_ocsp?\n",
            "[warn] mem_cache_size (G:9) has no effect: ",
        ] {
            let warning = warning.replace('G', &node.at("g.conf"));
            assert!(warnings.contains(&warning), "{command}: {warning}\n{error}");
        }
        assert!(mistakes.starts_with("log_level = \"loud\""), "{command}: {error}");
    }
    assert!(child.try_wait().unwrap().is_none(), "mistakes cost nobody a node that runs");
    gateway(&["stop", "-p", &node.prefix()]).well();
    child.wait().unwrap();
}

#[test]
fn a_line_that_is_not_understood_never_means_another_node() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.conf").display().to_string();
    fs::write(&file, "prefix /somewhere\n").unwrap();
    for command in ["stop", "health", "reload"] {
        let error = gateway(&[command, "-c", &file]).badly();
        assert!(error.starts_with(&format!("Error: {file}:1: expected `key = value`")), "{error}");
    }
    fs::write(&file, format!("nonsense\nprefix = {}\n", dir.path().display())).unwrap();
    let error = gateway(&["stop", "-c", &file]).badly();
    assert!(error.starts_with("Error: Gateway is not running at "), "{error}");
}

#[test]
fn what_never_ends_is_not_read_to_its_end() {
    for command in [&["check"][..], &["start", "-c"]] {
        let error = gateway(&[command, &["/dev/zero"]].concat()).badly();
        let expected = "Error: could not read /dev/zero: it does not end within 4 MiB\n";
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_configuration_may_come_through_a_pipe() {
    let node = Node::new();
    let gateway = |words: &str| {
        let mut command = program(Path::new("bash"));
        let words = words.replace("PIPE", &format!("<(cat {})", node.at("g.conf")));
        said(command.args(["-c", &format!("{GATEWAY} {words}")]))
    };
    assert!(gateway("check PIPE").well().ends_with(" is valid\n"));
    let from_stdin = format!("check /dev/stdin < {}", node.at("g.conf"));
    assert_eq!(gateway(&from_stdin).well(), "configuration at /dev/stdin is valid\n");
    assert_eq!(gateway("start --daemon -c PIPE").well(), "Gateway started\n");
    assert_eq!(gateway("reload -c PIPE").well(), "Gateway reloaded\n");
    assert_eq!(gateway("restart -c PIPE").well(), "Gateway started\n");
    assert_eq!(gateway("stop -c PIPE").well(), "Gateway stopped\n");
}
