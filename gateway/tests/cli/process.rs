//! A node as a process: started, asked, stopped.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::*;

#[test]
fn a_node_that_does_not_run_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().display().to_string();
    let health = gateway(&["health", "-p", &prefix]);
    assert_eq!(health.out, "gateway.......not running\n\n");
    assert!(health.badly().starts_with(&format!("Error: Gateway is not running at {prefix}\n")));
    for command in ["stop", "quit", "reload"] {
        let error = gateway(&[command, "-p", &prefix]).badly();
        assert!(
            error.starts_with(&format!("Error: Gateway is not running at {prefix}\n")),
            "{command}: {error}"
        );
        let error = gateway(&[command, "-p", "/no/such"]).badly();
        assert!(error.starts_with("Error: no such prefix: /no/such\n"), "{command}: {error}");
    }
}

#[test]
fn prepare_makes_the_prefix_for_its_owner_only() {
    let node = Node::new();
    node.run(&["prepare"]).well();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(node.path("prefix")), 0o700);
    assert_eq!(mode(node.path("prefix/.gateway_env")), 0o600);
}

#[test]
fn a_node_in_the_foreground_lives_until_it_is_stopped() {
    let node = Node::new();
    let mut child = node.foreground();
    let prefix = node.prefix();

    let pid = fs::read_to_string(node.path("prefix/pids/gateway.pid")).unwrap();
    assert_eq!(pid.trim(), child.id().to_string());
    assert_eq!(
        gateway(&["health", "-p", &prefix]).well(),
        format!("gateway.......running\n\nGateway is healthy at {prefix}\n")
    );
    let error = node.run(&["start"]).badly();
    assert!(
        error.starts_with(&format!(
            "Error: Gateway is already running in {prefix} (pid {})\n",
            child.id()
        )),
        "{error}"
    );

    assert_eq!(gateway(&["stop", "-p", &prefix]).well(), "Gateway stopped\n");
    assert!(child.wait().unwrap().success());
    assert!(!node.path("prefix/pids/gateway.pid").exists());
    let log = fs::read_to_string(node.path("stderr")).unwrap();
    assert!(log.contains(&format!(" [notice] {}#0: database = sqlite (", pid.trim())), "{log}");
}

#[test]
fn a_node_leaves_the_terminal_and_quits_when_asked() {
    let node = Node::new();
    assert_eq!(node.run(&["start", "--daemon"]).well(), "Gateway started\n");
    assert!(
        node.run(&["start", "--daemon"])
            .badly()
            .starts_with("Error: Gateway is already running in ")
    );
    assert_eq!(node.run(&["quit"]).well(), "Gateway stopped (gracefully)\n");
    assert_eq!(gateway(&["health", "-p", &node.prefix()]).code, Some(1));
    let log = fs::read_to_string(node.path("prefix/logs/error.log")).unwrap();
    assert!(log.contains("[notice]"), "{log}");
}

#[test]
fn a_restart_leaves_a_new_process_with_the_settings_of_the_old() {
    let node = Node::new();
    node.run(&["start", "--daemon"]).well();
    let pid = || fs::read_to_string(node.path("prefix/pids/gateway.pid")).unwrap();
    let before = pid();
    assert_eq!(gateway(&["restart", "-p", &node.prefix()]).well(), "Gateway started\n");
    assert_ne!(pid(), before);
    node.run(&["stop"]).well();
}

#[test]
fn a_start_that_fails_after_leaving_the_terminal_says_why() {
    let node = Node::new();
    node.configure("proxy_error_log = /no/such/directory/error.log");
    let error = node.run(&["start", "--daemon"]).badly();
    assert!(
        error.contains("/no/such/directory cannot be written to: No such file or directory"),
        "{error}"
    );
    node.configure("admin_listen = 192.0.2.1:1");
    let error = node.run(&["start", "--daemon"]).badly();
    assert!(error.contains("Error: admin_listen: 192.0.2.1:1 cannot be listened on"), "{error}");
    assert_eq!(gateway(&["health", "-p", &node.prefix()]).code, Some(1));
}

#[test]
fn a_limit_that_leaves_no_descriptor_for_clients_is_said_at_the_start() {
    let node = Node::new();
    fs::write(
        node.path("g.conf"),
        format!(
            "role = traditional\ndatabase = off\nprefix = {}\nnginx_worker_processes = 4\n\
             proxy_listen = 127.0.0.1:0\nadmin_listen = off\nstatus_listen = off\n",
            node.prefix()
        ),
    )
    .unwrap();
    let start = |limit: u32| {
        let limited = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let mut shell = program(Path::new("sh"));
        shell.args(["-c", &limited, GATEWAY, "start", "--daemon", "-c", &node.at("g.conf")]);
        said(&mut shell)
    };
    let error = start(40).badly();
    let expected = "the limit of open files, 40, leaves none for clients: raise it";
    assert!(error.contains(expected), "{error}");
    assert_eq!(start(256).well(), "Gateway started\n");
    node.run(&["stop"]).well();
}

/// A directory stands where the file would be written, as a full disk would.
#[test]
fn a_prefix_that_takes_no_files_keeps_no_node_from_starting() {
    let node = Node::new();
    node.run(&["prepare"]).well();
    fs::remove_file(node.path("prefix/.gateway_env")).unwrap();
    fs::create_dir(node.path("prefix/.gateway_env.next")).unwrap();
    fs::create_dir(node.path("prefix/pids/gateway.pid")).unwrap();
    assert_eq!(node.run(&["start", "--daemon"]).well(), "Gateway started\n");
    assert_eq!(node.run(&["restart", "--daemon"]).well(), "Gateway started\n");
    let error = node.run(&["start"]).badly();
    assert!(error.starts_with("Error: Gateway is already running in "), "{error}");
    let said = node.run(&["reload"]);
    assert!(
        said.err.contains("[warn] the prefix does not say how the node was started"),
        "{said:?}"
    );
    assert!(said.badly().contains("Error: could not write the prefix: "));
    for command in ["reload", "restart"] {
        let error = gateway(&[command, "-p", &node.prefix()]).badly();
        assert!(error.contains("name its configuration with -c"), "{command}: {error}");
    }
    node.run(&["health"]).well();
    assert_eq!(node.run(&["stop"]).well(), "Gateway stopped\n");
    let log = fs::read_to_string(node.path("prefix/logs/error.log")).unwrap();
    for warning in ["[warn]", "could not write the prefix: ", "could not use the prefix: write "] {
        assert!(log.contains(warning), "{warning}: {log}");
    }
}

/// Its log is a pipe that nobody reads, so it never gets as far as serving.
#[test]
fn a_node_that_starts_ends_when_told_and_not_before() {
    let node = Node::new();
    node.run(&["prepare"]).well();
    let pipe = node.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    node.configure(&format!("admin_error_log = {}", pipe.display()));
    let pid_file = node.path("prefix/pids/gateway.pid");
    for signal in ["-TERM", "-INT", "-QUIT"] {
        let mut command = program(Path::new(GATEWAY));
        command.args(["start", "-c", &node.at("g.conf")]).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id().to_string();
        while fs::read_to_string(&pid_file).ok().is_none_or(|text| text.trim() != pid) {
            assert!(child.try_wait().unwrap().is_none(), "{signal}");
            std::thread::yield_now();
        }
        for signal in ["-HUP", "-USR1", signal] {
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        assert!(!pid_file.exists(), "{signal}");
    }
}

#[test]
fn drain_needs_a_listener_that_answers() {
    let node = Node::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(); // nobody's by now
    node.configure(&format!("status_listen = 127.0.0.1:{port}"));
    let error = node.run(&["drain"]).badly();
    assert!(
        error.contains(&format!(
            "Error: failed to send request to http://127.0.0.1:{port}/status/ready"
        )),
        "{error}"
    );
    node.configure("status_listen = off");
    assert!(
        node.run(&["drain"]).badly().contains("Error: no status listeners found in configuration")
    );
}
