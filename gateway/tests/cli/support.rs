//! A node of its own for each test, and what its commands say.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub const GATEWAY: &str = env!("CARGO_BIN_EXE_gateway");

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    #[track_caller]
    pub fn badly(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.err.contains("Error: "), "{self:?}");
        self.err
    }
}

/// The program, without the settings of whoever runs the tests.
pub fn program(path: &Path) -> Command {
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

pub fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub fn gateway(args: &[&str]) -> Said {
    said(program(Path::new(GATEWAY)).args(args))
}

/// A control plane of its own, in a directory of its own, on ports the system chooses.
pub struct Node {
    dir: TempDir,
}

impl Node {
    pub fn new() -> Self {
        let node = Self { dir: tempfile::tempdir().unwrap() };
        gateway(&["hybrid", "gen_cert", &node.at("c.crt"), &node.at("c.key")]).well();
        node.configure("");
        node
    }

    pub fn configure(&self, more: &str) {
        let text = format!(
            "role = control_plane\nprefix = {}\ncluster_cert = {}\ncluster_cert_key = {}\n\
             admin_listen = 127.0.0.1:0\ncluster_listen = 127.0.0.1:0\nstatus_listen = 127.0.0.1:0\n{more}\n",
            self.prefix(),
            self.at("c.crt"),
            self.at("c.key")
        );
        fs::write(self.path("g.conf"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn prefix(&self) -> String {
        self.at("prefix")
    }

    pub fn run(&self, args: &[&str]) -> Said {
        let mut all = args.to_vec();
        let conf = self.at("g.conf");
        all.extend(["--conf", &conf]);
        gateway(&all)
    }

    /// Runs in the foreground; returns once it serves.
    pub fn foreground(&self) -> Child {
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
