//! Settings as an operator writes them, and the options or the mistakes that come of them.

mod admin;
mod roles;
mod secrets;
mod proxy;
mod pair;
mod database;
mod mistakes;
mod table;
mod upstream_tls;
mod door;
mod plugins;

use std::fs;
use std::sync::LazyLock;

use ::cluster::{KeyPairPem, gen_cert};

use super::*;
use crate::conf::Sources;

/// A pair and another: made once, as making one takes its time.
static PAIRS: LazyLock<[KeyPairPem; 2]> =
    LazyLock::new(|| [60, 20].map(|days| gen_cert(days).unwrap()));

/// What a node with these lines as its file is told, or what it is told is wrong.
fn read(lines: &str) -> Result<Options, Vec<String>> {
    read_as(lines, Mode::Foreground)
}

fn read_as(lines: &str, mode: Mode) -> Result<Options, Vec<String>> {
    with(lines, |settings| Options::read(settings, mode)).map_err(|mistakes| {
        let place = |mistake: &Mistake| mistake.said.as_deref().map(directory).unwrap_or_default();
        let shorten = |mistake: &Mistake| mistake.to_string().replace(&place(mistake), "");
        mistakes.all.iter().map(shorten).collect()
    })
}

/// What comes of settings with these lines as their file, beside certificates in the same `DIR`.
fn with<T>(lines: &str, read: impl FnOnce(&Settings) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("g.conf");
    let [pair, soon] = &*PAIRS;
    for (name, text) in [
        ("c.crt", pair.certificate.as_str()),
        ("c.key", &pair.key),
        ("soon.crt", &soon.certificate),
        ("soon.key", &soon.key),
        ("broken.crt", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    fs::write(&file, lines.replace("DIR", &dir.path().display().to_string())).unwrap();
    read(&Sources::of_file(file).settle().unwrap())
}

/// Where such a file was, of `"…" (DIR/g.conf:1)`.
fn directory(said: &str) -> String {
    let from = said.rsplit_once(" (").map_or("", |(_, from)| from);
    from.split_once("g.conf").map_or(String::new(), |(directory, _)| directory.to_owned())
}

/// The names of the properties that such a node reads.
fn asked(lines: &str, mode: Mode) -> BTreeSet<&'static str> {
    with(lines, |settings| {
        let secrets = Secrets::of(settings);
        let mut reader = Reader::new(settings, &secrets);
        assert!(reader.options(mode, Purpose::Look).is_some());
        reader.asked()
    })
}

#[track_caller]
fn good(lines: &str) -> Options {
    read(lines).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

#[track_caller]
fn bad(lines: &str, mistakes: &[&str]) {
    assert_eq!(read(lines).map(|_| ()).unwrap_err(), mistakes, "{lines}");
}

fn control_plane(lines: &str) -> String {
    format!("role = control_plane\ncluster_cert = DIR/c.crt\ncluster_cert_key = DIR/c.key\n{lines}")
}

fn data_plane(lines: &str) -> String {
    format!("role = data_plane\ncluster_cert = DIR/c.crt\ncluster_cert_key = DIR/c.key\n{lines}")
}

fn addrs(listeners: &[Listen]) -> Vec<String> {
    listeners.iter().map(|listen| listen.addr.to_string()).collect()
}

fn notices(options: &Options) -> Vec<String> {
    options.notices.iter().map(Notice::to_string).collect()
}
