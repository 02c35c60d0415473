//! What stays true of the tree itself: who depends on whom, what no file may contain, what the README
//! promises.
//!
//! The edges between our own crates are here; who may use which crate of others is read from
//! `.deny.toml`, so that it is said once and holds where cargo-deny is not installed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// Who may depend on whom among our own: the arrows of docs/architecture.md.
const EDGES: &[(&str, &[&str])] = &[
    ("model-derive", &[]),
    ("model", &["model-derive"]),
    ("ed25519", &[]),
    ("engine", &["model"]),
    ("cluster", &["model", "ed25519"]),
    ("admin", &["model", "ed25519"]),
    ("gateway", &["model", "engine", "cluster", "admin"]),
    ("benches", &["model", "engine"]),
    ("floor", &[]),
];

/// `model` is pure data: no runtime, no server, no database gets in.
const MODEL_USES: &[&str] = &[
    "base64",
    "pbkdf2",
    "sha1",
    "blake3",
    "bytes",
    "imbl",
    "model-derive",
    "percent-encoding",
    "rmp-serde",
    "serde",
    "serde-saphyr",
    "serde_json",
    "sha2",
    "thiserror",
    "uuid",
    "x509-parser",
];

/// The longest that a file may get before it is two.
const LONGEST: usize = 600;

/// The one file that says, and tests, what a severity on another level comes to.
const LEVELS: &str = "gateway/src/telemetry/level.rs";

/// The one file that may convert descriptors for io_uring.
const UNSAFE: &str = "engine/src/lanes/express/ring.rs";

// Split, so that this file does not contain what it looks for.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("to", "do!("), "what is not built is not written"),
    (concat!("unimpl", "emented!("), "what is not built is not written"),
    (concat!("#[ign", "ore"), "a test that is not run tests nothing"),
    (concat!("/wo", "rk/"), "a path of somebody's machine"),
    (concat!("/ro", "ot/."), "a path of somebody's machine"),
    (concat!("../sha", "red"), "a path outside the repository"),
    (concat!("fix", "me"), "fixed, or filed"),
];

#[test]
fn our_crates_depend_on_each_other_as_drawn() {
    let edges: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let mut wrong = Vec::new();
    for Package { name, uses, .. } in packages() {
        let Some(allowed) = edges.get(name.as_str()) else {
            wrong.push(format!("{name} is not in EDGES"));
            continue;
        };
        let ours =
            uses.iter().map(|used| used.name.as_str()).filter(|used| edges.contains_key(used));
        let foreign = ours.filter(|used| *used != name && !allowed.contains(used));
        wrong.extend(foreign.map(|used| format!("{name} must not know {used}")));
    }
    none(wrong);
}

#[test]
fn the_layers_of_deny_toml_hold() {
    let wrappers = wrappers();
    assert!(wrappers.contains_key("pingora"), "no layers were read");
    let mut wrong = Vec::new();
    for Package { name, uses, .. } in packages() {
        let foreign = uses.iter().filter(|used| {
            wrappers.get(&used.name).is_some_and(|allowed| !allowed.contains(&name))
        });
        wrong.extend(foreign.map(|used| format!("{} is not for {name}: .deny.toml", used.name)));
    }
    none(wrong);
}

#[test]
fn the_model_is_pure_data() {
    let model = packages().into_iter().find(|package| package.name == "model").unwrap();
    let foreign =
        model.uses.iter().filter(|used| used.ships && !MODEL_USES.contains(&used.name.as_str()));
    none(foreign.map(|used| format!("model must not know {}", used.name)));
}

#[test]
fn unsafe_code_is_forbidden_but_in_one_file() {
    let mut wrong = Vec::new();
    for Package { name, roots, .. } in packages() {
        let may = |root: &String| {
            let text = fs::read_to_string(root).unwrap();
            // Forbidding cannot be lifted further down, so the crate with the one file denies.
            let denies = name == "engine" && text.contains("#![deny(unsafe_code)]");
            !denies && !text.contains("#![forbid(unsafe_code)]")
        };
        wrong.extend(roots.into_iter().filter(may));
    }
    let allowing = texts(&["rs", "toml"])
        .filter(|(path, text)| path != UNSAFE && text.contains(concat!("allow(", "unsafe_code")));
    wrong.extend(allowing.map(|(path, _)| path));
    none(wrong.into_iter().map(|path| format!("{path} may contain unsafe code")));
}

#[test]
fn files_are_short() {
    let shipped = texts(&["rs"])
        .filter(|(path, _)| !path.contains("/tests/") && !path.ends_with("/tests.rs"));
    let lengths = shipped
        .map(|(path, text)| (path, text.lines().take_while(|line| *line != "mod tests {").count()));
    let long = lengths.filter(|(_, lines)| *lines > LONGEST);
    none(long.map(|(path, lines)| format!("{path} has {lines} lines; what are its two ideas?")));
}

#[test]
fn nothing_unfinished_or_foreign_is_in_the_tree() {
    let mut wrong = Vec::new();
    for (path, text) in texts(&[]) {
        let text = text.to_lowercase();
        let found = FORBIDDEN.iter().filter(|(word, _)| text.contains(word));
        wrong.extend(found.map(|(word, why)| format!("{path} contains {word:?}: {why}")));
    }
    none(wrong);
}

/// An event of another level that one of these names is of that level, and nobody is woken.
#[test]
fn what_is_worse_than_an_error_is_an_error() {
    let severities = ["CRIT", "ALERT", "EMERG", r#""crit""#, r#""alert""#, r#""emerg""#];
    let (mut found, mut wrong) = (0, Vec::new());
    for (path, text) in texts(&["rs"]).filter(|(path, _)| path != LEVELS) {
        for (at, label) in text.match_indices("name:") {
            let name = text[at + label.len()..].split([',', ')', '}']).next().unwrap_or_default();
            let name = name.trim().rsplit("::").next().unwrap_or_default();
            if severities.contains(&name) {
                found += 1;
                if !text[..at].trim_end().ends_with("error!(") {
                    let line = text[..at].lines().count();
                    wrong
                        .push(format!("{path}:{line} names an event {name} that is not an error!"));
                }
            }
        }
    }
    assert!(found > 5, "the severities were not found");
    none(wrong);
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for (path, text) in texts(&["md"]) {
        let file = root().join(&path);
        let folder = file.parent().unwrap();
        let broken = links(&text).filter(|target| !folder.join(target).exists());
        wrong.extend(broken.map(|target| format!("{path} links to {target}, which is not there")));
    }
    none(wrong);
}

#[test]
fn the_readme_s_map_is_of_this_tree() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let map = readme.split("\n## Map\n").nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap();
    let named: Vec<_> = map.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(named.len() > 5, "the map was not found");
    let missing = named.into_iter().filter(|name| !root().join(name).exists());
    none(missing.map(|name| format!("the README's map shows {name}, which is not there")));
}

#[test]
fn every_attack_has_the_tests_it_names() {
    let security = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let attacks = security.split("\n## Attacks\n").nth(1).unwrap();
    let attacks = attacks.split("\n## ").next().unwrap();
    let rows =
        attacks.lines().filter(|line| line.starts_with("| ") && !line.contains("| attack |"));
    let sources: Vec<_> = texts(&[".rs"]).map(|(_, text)| text).collect();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let named: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            wrong.push(format!("docs/security.md names no test in: {row}"));
        }
        let is_there = |test: &&str| {
            let called = format!("fn {}() {{", test.rsplit("::").next().unwrap());
            sources.iter().any(|text| text.contains(&called))
        };
        let missing = named.iter().filter(|test| !is_there(test));
        wrong.extend(
            missing.map(|test| format!("docs/security.md names {test}, which is not there")),
        );
        count += named.len();
    }
    assert!(count > 40, "the tables were not found");
    none(wrong);
}

#[test]
fn what_is_built_is_pinned() {
    assert!(root().join("Cargo.lock").exists(), "Cargo.lock is part of the repository");
    assert!(!texts(&[".gitignore"]).any(|(_, text)| text.contains("Cargo.lock")));
    assert!(!root().join("rust-toolchain.toml").exists(), "it would force a download");
}

/// Says everything that is wrong at once.
#[track_caller]
fn none(wrong: impl IntoIterator<Item = String>) {
    let wrong: Vec<_> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
}

/// One of our crates.
struct Package {
    name: String,
    uses: Vec<Use>,
    /// The root files of its libraries and binaries.
    roots: Vec<String>,
}

struct Use {
    name: String,
    /// Rather than being for its tests or its build script.
    ships: bool,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    list(&metadata["packages"]).map(package).collect()
}

fn package(json: &Value) -> Package {
    let uses = list(&json["dependencies"])
        .map(|used| Use { name: word(&used["name"]), ships: used["kind"].is_null() });
    let is_root = |target: &&Value| {
        list(&target["kind"]).any(|kind| ["lib", "bin", "proc-macro"].contains(&&*word(kind)))
    };
    let roots = list(&json["targets"]).filter(is_root).map(|target| word(&target["src_path"]));
    Package { name: word(&json["name"]), uses: uses.collect(), roots: roots.collect() }
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().expect("cargo metadata says lists").iter()
}

fn word(json: &Value) -> String {
    json.as_str().expect("cargo metadata says words").to_owned()
}

/// Who may use a crate, by its name.
fn wrappers() -> BTreeMap<String, Vec<String>> {
    let deny: toml::Value =
        toml::from_str(&fs::read_to_string(root().join(".deny.toml")).unwrap()).unwrap();
    let word = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let wrappers = |entry: &toml::Value| {
        let list = entry.get("wrappers").and_then(toml::Value::as_array);
        list.into_iter().flatten().map(word).collect()
    };
    let entries = deny["bans"]["deny"].as_array().unwrap();
    entries.iter().map(|entry| (word(&entry["crate"]), wrappers(entry))).collect()
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every text file of the tree whose name ends in one of these, or all, by its path from the root.
fn texts(endings: &[&str]) -> impl Iterator<Item = (String, String)> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &ignored(&root), &mut files);
    files.into_iter().filter_map(move |path| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let wanted = endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending));
        // What is not text is nobody's to read.
        wanted.then(|| fs::read_to_string(&path).ok()).flatten().map(|text| (name, text))
    })
}

/// What is not part of the repository, though it is in the directory.
fn ignored(root: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(root.join(".gitignore")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix('/'));
    lines.chain([".git"]).map(|name| root.join(name)).collect()
}

fn collect(folder: &Path, ignored: &[PathBuf], files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if ignored.contains(&path) {
            continue;
        }
        if path.is_dir() { collect(&path, ignored, files) } else { files.push(path) }
    }
}

/// Relative targets of a Markdown file's links, without anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let relative =
        targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    relative.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty())
}
