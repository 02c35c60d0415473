//! The files a data plane starts from, damaged: set aside and replaced, never a crash.

use std::fs;
use std::path::{Path, PathBuf};

use crate::outage::copy;
use crate::support::{ByHand, DataPlane, Origin, PATIENCE, Site, free_port, within};

const DAMAGES: u64 = 50;

/// How many are looked at at the same time.
const LANES: u64 = 2;

/// Of how many one is followed to the point where the control plane has answered.
const REFILLED: u64 = 5;

#[tokio::test]
async fn no_damage_to_one_file_stops_a_node() {
    let site = Site::new().await;
    let origin = Origin::start("a").await;
    let mut control_plane = ByHand::new();
    for number in 0..35 {
        control_plane.expose(&format!("/{number}"), &origin.url("/"));
    }
    control_plane.listen(&site);
    let model = site.path().join("model");
    control_plane.tell(&model, 20);
    let files = files(&model.join("dbless.lmdb"));
    assert_eq!(files.len(), 6, "two generations, three files each: {files:?}");

    let lane = async |first: u64| {
        for seed in (first..DAMAGES).step_by(LANES as usize) {
            let refill = seed % REFILLED == 0;
            let at = if refill { control_plane.cluster } else { free_port() };
            let mut node = DataPlane::new(&site, at);
            copy(&model, &node.process.prefix());
            let mut damage = Damage::random(seed, &node.cache(), &files);
            eprintln!("{seed}: {damage:?}");
            damage.apply();
            damaged_node_serves(&mut node, &damage, &control_plane, refill).await;
        }
    };
    tokio::join!(lane(0), lane(1));
}

/// It starts, it serves a revision there was, and if that is not the newest it says why.
async fn damaged_node_serves(
    node: &mut DataPlane,
    damage: &Damage,
    control_plane: &ByHand,
    refill: bool,
) {
    node.start().await;
    let (hashes, newest) = (control_plane.hashes(), control_plane.newest().id.hash.to_string());
    if refill {
        within(PATIENCE, async || {
            let hash = node.hash().await?;
            if hash == newest { Ok(()) } else { Err(format!("still at {hash}")) }
        })
        .await;
        assert_eq!(node.get("/34").await.unwrap().status, 200);
    } else {
        // The status is served a moment before the workers have seen what there is to serve.
        let hash = within(PATIENCE, async || {
            let hash = node.hash().await?;
            if hashes.contains(&hash) { Ok(hash) } else { Err(format!("{damage:?}: at {hash}")) }
        })
        .await;
        assert_eq!(node.get("/0").await.unwrap().status, 200, "{damage:?}");
        // A log that ends early is what a power cut leaves: not damage, but the end of the log.
        if hash != newest && !damage.shortens_a_log() {
            assert_set_aside(node);
        }
    }
    node.process.assert_alive();
}

#[tokio::test]
async fn a_node_with_nothing_whole_left_is_refilled() {
    let site = Site::new().await;
    let origin = Origin::start("a").await;
    let mut control_plane = ByHand::new();
    for number in 0..8 {
        control_plane.expose(&format!("/{number}"), &origin.url("/"));
    }
    let mut node = DataPlane::new(&site, control_plane.cluster);
    control_plane.tell(&node.process.prefix(), 5);
    for (seed, path) in files(&node.cache()).into_iter().enumerate() {
        let path = node.cache().join(path);
        Damage::of(path, Kind::Shred, seed as u64 + 1).apply();
    }
    node.start().await;
    assert_eq!(node.get("/0").await.unwrap().status, 404);
    assert_eq!(node.ready().await.status, 503);
    assert_set_aside(&node);

    control_plane.listen(&site);
    node.answers("/7", 200).await;
    within(PATIENCE, async || {
        let rows = control_plane.server().vitals().data_planes();
        if rows.iter().any(|row| row.cached) { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;

    node.process.kill();
    node.process.set("cluster_control_plane", free_port());
    node.start().await;
    assert_eq!(node.get("/7").await.unwrap().status, 200, "what was refilled is kept");
}

/// The operator is told, and can look at what was damaged.
fn assert_set_aside(node: &DataPlane) {
    let log = node.process.log();
    let line = log.lines().find(|line| line.contains("configuration cache"));
    let said = line.is_some_and(|line| {
        ["[crit]", "is corrupt", "set aside in", "continuing with"]
            .iter()
            .all(|word| line.contains(word))
    });
    assert!(said, "{line:?}\n{log}");
    let aside = fs::read_dir(node.cache().join("quarantine")).unwrap();
    assert!(aside.count() > 0, "nothing is there to look at");
}

/// The files of all generations, relative to the cache.
fn files(cache: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for generation in fs::read_dir(cache).unwrap().map(|entry| entry.unwrap()) {
        if generation.file_type().unwrap().is_dir() {
            for file in fs::read_dir(generation.path()).unwrap() {
                files.push(PathBuf::from(generation.file_name()).join(file.unwrap().file_name()));
            }
        }
    }
    files.sort();
    files
}

/// One thing that happens to one file.
#[derive(Debug)]
struct Damage {
    path: PathBuf,
    kind: Kind,
    random: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A bit is not what it was.
    Flip,
    /// The file ends earlier.
    Truncate,
    /// Some bytes are zeros, as after a power cut.
    Blank,
    /// Some bytes are anything.
    Shred,
    /// Something follows what was written.
    Extend,
    /// The file is not there.
    Remove,
}

impl Damage {
    const KINDS: [Kind; 6] =
        [Kind::Flip, Kind::Truncate, Kind::Blank, Kind::Shred, Kind::Extend, Kind::Remove];

    /// The same for the same seed.
    fn random(seed: u64, cache: &Path, files: &[PathBuf]) -> Self {
        let mut damage = Self::of(PathBuf::new(), Kind::Flip, seed + 1);
        damage.kind = Self::KINDS[damage.below(Self::KINDS.len())];
        damage.path = cache.join(&files[damage.below(files.len())]);
        damage
    }

    fn of(path: PathBuf, kind: Kind, seed: u64) -> Self {
        Self { path, kind, random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    fn shortens_a_log(&self) -> bool {
        matches!(self.kind, Kind::Truncate) && self.path.ends_with("log")
    }

    fn apply(&mut self) {
        let mut bytes = fs::read(&self.path).unwrap();
        let at = self.below(bytes.len());
        let length = self.below(100).min(bytes.len() - at - 1) + 1;
        match self.kind {
            Kind::Remove => return fs::remove_file(&self.path).unwrap(),
            Kind::Flip => bytes[at] ^= 1 << self.below(8),
            Kind::Truncate => bytes.truncate(at),
            Kind::Blank => bytes[at..at + length].fill(0),
            Kind::Shred => (at..at + length).for_each(|at| bytes[at] ^= self.below(255) as u8 + 1),
            Kind::Extend => (0..length).for_each(|_| bytes.push(self.below(256) as u8)),
        }
        fs::write(&self.path, bytes).unwrap();
    }

    /// The next number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % limit.max(1) as u64) as usize
    }
}
