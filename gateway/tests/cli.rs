//! The command line as an operator meets it: the real binary, its output and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const GATEWAY: &str = env!("CARGO_BIN_EXE_gateway");

/// What a command said and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    #[track_caller]
    fn badly(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.err.contains("Error: "), "{self:?}");
        self.err
    }
}

/// The program, without the settings of whoever runs the tests.
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("GATEWAY_") || name.starts_with("KONG_") || name == "NOTIFY_SOCKET" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn gateway(args: &[&str]) -> Said {
    said(program(Path::new(GATEWAY)).args(args))
}

/// A control plane of its own, in a directory of its own, on ports the system chooses.
struct Node {
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self { dir: tempfile::tempdir().unwrap() };
        gateway(&["hybrid", "gen_cert", &node.at("c.crt"), &node.at("c.key")]).well();
        node.configure("");
        node
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "role = control_plane\nprefix = {}\ncluster_cert = {}\ncluster_cert_key = {}\n\
             admin_listen = 127.0.0.1:0\ncluster_listen = 127.0.0.1:0\nstatus_listen = 127.0.0.1:0\n{more}\n",
            self.prefix(),
            self.at("c.crt"),
            self.at("c.key")
        );
        fs::write(self.path("g.conf"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn prefix(&self) -> String {
        self.at("prefix")
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut all = args.to_vec();
        let conf = self.at("g.conf");
        all.extend(["--conf", &conf]);
        gateway(&all)
    }

    /// Runs in the foreground; returns once it serves.
    fn foreground(&self) -> Child {
        let name = format!("gateway-cli-test-{}", uuid::Uuid::new_v4());
        let socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let log = fs::File::create(self.path("stderr")).unwrap();
        let mut command = program(Path::new(GATEWAY));
        command.args(["start", "-c", &self.at("g.conf")]).env("NOTIFY_SOCKET", format!("@{name}"));
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        until_ready(&socket);
        child
    }
}

fn until_ready(socket: &UnixDatagram) {
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).unwrap();
        if buffer[..length].starts_with(b"READY=1") {
            return;
        }
    }
}

/// A test that failed half-way leaves no process behind.
impl Drop for Node {
    fn drop(&mut self) {
        let _ = said(program(Path::new(GATEWAY)).args(["stop", "--prefix", &self.prefix()]));
    }
}

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
    let error =
        said(command.args(["check", "/dev/null", "--vv"]).env("KONG_PG_PASSWORD", "hunter2"))
            .badly();
    assert!(error.contains("pg_password = \"******\" (KONG_PG_PASSWORD)"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn gen_cert_writes_a_pair_once() {
    let dir = tempfile::tempdir().unwrap();
    let here = |args: &[&str]| said(program(Path::new(GATEWAY)).args(args).current_dir(dir.path()));
    let mode =
        |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;

    assert_eq!(
        here(&["hybrid", "gen_cert"]).well(),
        "Successfully generated certificate/key pairs, they have been written to: './cluster.crt' and './cluster.key'.\n"
    );
    assert_eq!((mode("cluster.crt"), mode("cluster.key")), (0o644, 0o600));
    let before = fs::read(dir.path().join("cluster.key")).unwrap();
    let error = here(&["hybrid", "gen_cert"]).badly();
    assert!(
        error.starts_with("Error: ./cluster.crt already exists.\nWill not overwrite it.\n"),
        "{error}"
    );
    assert_eq!(fs::read(dir.path().join("cluster.key")).unwrap(), before);
    let error = here(&["hybrid", "gen_cert", "only.crt"]).badly();
    assert!(error.starts_with("Error: both cert and key path needs to be provided\n"), "{error}");
}

#[test]
fn gen_cert_makes_what_kong_makes() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (
        dir.path().join("a.crt").display().to_string(),
        dir.path().join("a.key").display().to_string(),
    );
    gateway(&["hybrid", "gen_cert", &cert, &key, "--days", "10"]).well();
    let Ok(output) =
        Command::new("openssl").args(["x509", "-in", &cert, "-noout", "-text"]).output()
    else {
        return; // no openssl on this machine; the cluster crate reads the pair with its own tools
    };
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["Issuer: CN = kong_clustering", "Subject: CN = kong_clustering", "secp384r1"] {
        let unspaced = part.replace(" = ", "="); // as newer releases write it
        assert!(text.contains(part) || text.contains(&unspaced), "{part}\n{text}");
    }
    for (seconds, holds) in [(86_400 * 10 - 3600, true), (86_400 * 10 + 3600, false)] {
        let mut command = Command::new("openssl");
        let status = command
            .args(["x509", "-in", &cert, "-noout", "-checkend", &seconds.to_string()])
            .stdout(Stdio::null())
            .status();
        assert_eq!(status.unwrap().success(), holds, "{seconds}");
    }
    assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
}

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

#[test]
fn nginx_templates_are_refused() {
    let error = gateway(&["start", "--nginx-conf", "x"]).badly();
    assert!(error.contains("there is no nginx underneath"), "{error}");
}

fn packaged(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name))
        .unwrap()
}

#[test]
fn packaged_configurations_are_valid_and_show_the_defaults() {
    let node = Node::new();
    // As the units do: nobody but the superuser makes anything where the default is.
    let check = |name: &str| {
        let mut command = program(Path::new(GATEWAY));
        said(command.args(["check", &node.at(name)]).env("GATEWAY_PREFIX", node.prefix()))
    };
    for name in ["gateway-cp.conf", "gateway-dp.conf"] {
        let place = |text: String| {
            text.replace("/etc/gateway/cluster.crt", &node.at("c.crt"))
                .replace("/etc/gateway/cluster.key", &node.at("c.key"))
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
