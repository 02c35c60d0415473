//! The files a data plane starts from, damaged: set aside and replaced, never a crash.

use std::fs;
use std::path::{Path, PathBuf};

use model::Config;

use crate::outage::copy;
use crate::support::{ByHand, DataPlane, Origin, PATIENCE, Site, free_port, within};

const DAMAGES: u64 = 50;

/// How many are looked at at the same time.
const LANES: u64 = 2;

/// Of how many one is followed to the point where the control plane has answered.
const REFILLED: u64 = 5;

/// What a node may have had when its files were damaged.
struct Model {
    prefix: PathBuf,
    /// Each of its two generations leads to the newest revision.
    twice: bool,
    /// Its logs start from the empty configuration.
    from_nothing: bool,
}

/// A node of some age, one of its first days, one that was told everything at once, and the latter two in
/// the moment before they have written their second generation.
fn models(site: &Site, control_plane: &ByHand) -> Vec<Model> {
    let at = |name: &str| site.path().join(name);
    control_plane.tell(&at("grown"), 20);
    control_plane.tell(&at("young"), 1000);
    control_plane.tell_at_once(&at("told"));
    for (name, whole) in [("young-alone", "young"), ("told-alone", "told")] {
        copy(&at(whole), &at(name));
        fs::remove_dir_all(at(name).join("dbless.lmdb/2")).unwrap();
    }
    let model = |name: &str, twice, from_nothing| {
        let prefix = at(name);
        let files = files(&prefix.join("dbless.lmdb"));
        assert_eq!(files.len(), if twice { 6 } else { 3 }, "{name}: {files:?}");
        Model { prefix, twice, from_nothing }
    };
    vec![
        model("grown", true, false),
        model("young", true, true),
        model("told", true, false),
        model("young-alone", false, true),
        model("told-alone", false, false),
    ]
}

#[tokio::test]
async fn no_damage_to_one_file_stops_a_node() {
    let site = Site::new().await;
    let origin = Origin::start("a").await;
    let mut control_plane = ByHand::new();
    control_plane.publish(Config::default());
    for number in 0..35 {
        control_plane.expose(&format!("/{number}"), &origin.url("/"));
    }
    control_plane.listen(&site);
    let models = models(&site, &control_plane);

    let lane = async |first: u64| {
        for seed in (first..DAMAGES).step_by(LANES as usize) {
            let model = &models[(seed + seed / REFILLED) as usize % models.len()];
            let refill = seed % REFILLED == 0;
            let at = if refill { control_plane.cluster } else { free_port() };
            let mut node = DataPlane::new(&site, at);
            copy(&model.prefix, &node.process.prefix());
            let mut damage = Damage::random(seed, &node.cache(), &files(&node.cache()));
            eprintln!("{seed}: {damage:?}");
            damage.apply();
            node.start().await;
            if refill {
                is_refilled(&node, &control_plane).await;
            } else {
                serves_what_is_left(&node, model, &damage, &control_plane).await;
            }
            node.process.assert_alive();
        }
    };
    tokio::join!(lane(0), lane(1));
}

async fn is_refilled(node: &DataPlane, control_plane: &ByHand) {
    let newest = control_plane.newest().id.hash.to_string();
    comes_to(node, &newest).await;
    assert_eq!(node.get("/34").await.unwrap().status, 200);
}

/// It serves what it had if a whole generation is left, or a log that needs no base; else a revision there
/// was, and it says why.
async fn serves_what_is_left(
    node: &DataPlane,
    model: &Model,
    damage: &Damage,
    control_plane: &ByHand,
) {
    let newest = control_plane.newest().id.hash.to_string();
    if model.twice || model.from_nothing && !damage.is_to_a_log() {
        comes_to(node, &newest).await;
        assert_eq!(node.get("/34").await.unwrap().status, 200, "{damage:?}");
        if !damage.is_to_a_log() {
            // What is not needed for the start is read after it.
            within(PATIENCE, async || is_set_aside(node)).await;
        }
        return;
    }
    let log = node.process.log();
    let hash =
        log.split_once("starting from the configuration cache: revision ").map(|(_, text)| {
            let hash = text.split_once('(').and_then(|(_, text)| text.split_once(')'));
            hash.expect("a revision has a hash").0.to_owned()
        });
    match &hash {
        Some(hash) => {
            assert!(control_plane.hashes().contains(hash), "{damage:?}: {hash}");
            comes_to(node, hash).await;
        }
        None => assert_eq!(node.get("/0").await.unwrap().status, 404, "{damage:?}"),
    }
    // With no other log to tell, one that ends early is what a power cut leaves: not damage, but the end.
    if hash != Some(newest) && !damage.shortens_a_log() {
        is_set_aside(node).unwrap();
    }
}

/// The status is served a moment before the workers have seen what there is to serve.
async fn comes_to(node: &DataPlane, hash: &str) {
    within(PATIENCE, async || {
        let now = node.hash().await?;
        if now == hash { Ok(()) } else { Err(format!("still at {now}")) }
    })
    .await;
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
    is_set_aside(&node).unwrap();

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
fn is_set_aside(node: &DataPlane) -> Result<(), String> {
    const WORDS: [&str; 5] =
        ["[crit]", "configuration cache", "is corrupt", "set aside in", "continuing with"];
    let log = node.process.log();
    if !log.lines().any(|line| WORDS.iter().all(|word| line.contains(word))) {
        return Err(format!("nothing is said of it: {log}"));
    }
    let aside = fs::read_dir(node.cache().join("quarantine")).map_err(|error| error.to_string())?;
    if aside.count() > 0 { Ok(()) } else { Err("nothing is there to look at".to_owned()) }
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

    fn is_to_a_log(&self) -> bool {
        self.path.ends_with("log")
    }

    fn shortens_a_log(&self) -> bool {
        matches!(self.kind, Kind::Truncate) && self.is_to_a_log()
    }

    fn apply(&mut self) {
        let mut bytes = fs::read(&self.path).unwrap();
        let mut at = self.below(bytes.len());
        if matches!(self.kind, Kind::Blank) {
            // Zeros where there are zeros are no damage.
            at = (0..bytes.len())
                .map(|n| (at + n) % bytes.len())
                .find(|at| bytes[*at] != 0)
                .unwrap();
        }
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
