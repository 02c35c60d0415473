//! What a test has to itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{ControlPlane, DataPlane, Http, Process, within};

/// Tests run beside each other, but a measurement runs alone.
static CPUS: RwLock<()> = RwLock::const_new(());

/// A directory, a cluster certificate, and a turn at the CPUs.
pub struct Site {
    dir: TempDir,
    pub pair: Pair,
    pub http: Http,
    /// What `express_lane` is for its nodes, unless they are to find out.
    pub lane: Option<&'static str>,
    nodes: AtomicU16,
    _turn: Turn,
}

/// A certificate and its key, as files.
#[derive(Clone)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[expect(dead_code, reason = "held, not read")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Site {
    /// Beside other tests. One per test, or two could wait for each other.
    pub async fn new() -> Self {
        Self::with(Turn::Shared(CPUS.read().await))
    }

    /// The same, with nodes whose `express_lane` is `on` or `off`.
    pub async fn on(lane: &'static str) -> Self {
        Self { lane: Some(lane), ..Self::new().await }
    }

    /// With all CPUs to itself, for what is measured.
    pub async fn alone() -> Self {
        Self::with(Turn::Alone(CPUS.write().await))
    }

    fn with(turn: Turn) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pair = Pair::generate(dir.path(), "cluster");
        Self { dir, pair, http: Http::new(), lane: None, nodes: AtomicU16::new(0), _turn: turn }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A control plane that serves its Admin API.
    pub async fn control_plane(&self) -> ControlPlane {
        let mut plane = ControlPlane::new(self);
        plane.start().await;
        plane
    }

    /// A data plane of `control_plane` that has met it.
    pub async fn data_plane(&self, control_plane: &ControlPlane) -> DataPlane {
        let mut plane = DataPlane::new(self, control_plane.cluster);
        plane.start().await;
        within(super::PATIENCE, async || plane.is_joined(control_plane).await).await;
        plane
    }

    /// Both.
    pub async fn cluster(&self) -> (ControlPlane, DataPlane) {
        let control_plane = self.control_plane().await;
        let data_plane = self.data_plane(&control_plane).await;
        (control_plane, data_plane)
    }

    /// A directory for one more node.
    pub fn place(&self, role: &str) -> PathBuf {
        let number = self.nodes.fetch_add(1, Ordering::Relaxed);
        let place = self.dir.path().join(format!("{role}-{number}"));
        std::fs::create_dir(&place).unwrap();
        place
    }
}

impl Pair {
    /// As an operator makes one.
    pub fn generate(dir: &Path, name: &str) -> Self {
        let pair =
            Self { cert: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) };
        let mut command: Command = Process::program();
        let output =
            command.args(["hybrid", "gen_cert"]).args([&pair.cert, &pair.key]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        pair
    }
}

/// An address nobody listens on, and nobody is given by the system: below the ports that outgoing
/// connections get, and once per test run. A node keeps it while it is down.
pub fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Where another run of the tests, with another process id, does not look first.
    let first = 10_000 + (std::process::id() % 100) as u16 * 200;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
