//! `<prefix>/.gateway_env`: what a running process was started with.
//!
//! `reload` and `restart` need it because the environment and the directory of the operator's shell
//! are not those the process was started from. It may hold secrets, so only its owner reads it; of those in
//! vaults it holds the references.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cluster::plain;
use serde::{Deserialize, Serialize};

use super::{Layer, Origin, Setting, Settings};
use crate::bounded;
use crate::vault::Environment;

/// The file's name, inside the prefix.
pub const FILE_NAME: &str = ".gateway_env";

/// The settings of a running process, as its prefix remembers them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    /// The configuration file it read, absolute.
    pub file: Option<PathBuf>,
    /// The directory it was started in.
    pub directory: PathBuf,
    /// Whether it left its terminal.
    pub detached: bool,
    /// Every value that was set, by property name.
    pub settings: BTreeMap<String, SavedSetting>,
    /// What the process runs with, where a reload has left some of these values to the next start.
    #[serde(default)]
    pub running: Option<BTreeMap<String, String>>,
}

/// One value and where it came from then.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedSetting {
    /// The text.
    pub value: String,
    /// Such as `KONG_ROLE`.
    pub from: String,
    /// Whether reading the file again says it again.
    #[serde(default)]
    pub in_file: bool,
}

impl Saved {
    /// What to remember of `settings`.
    pub fn of(settings: &Settings, detached: bool) -> Self {
        let settings_by_name =
            settings.iter().map(|(name, setting)| (name.to_owned(), remember(setting))).collect();
        Self {
            file: settings.file.clone(),
            directory: settings.directory.clone(),
            detached,
            settings: settings_by_name,
            running: None,
        }
    }

    /// What the process in `prefix` was started with; `None` if none ever was.
    pub fn read(prefix: &Path) -> io::Result<Option<Self>> {
        match plain::read(&prefix.join(FILE_NAME), bounded::SAVED) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces what `prefix` remembers, whole or not at all; nothing is written if it says the same.
    pub fn write(&self, prefix: &Path) -> io::Result<()> {
        let (path, next) = (prefix.join(FILE_NAME), prefix.join(".gateway_env.next"));
        let text = serde_json::to_vec_pretty(self)?;
        if plain::read(&path, bounded::SAVED).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let _ = fs::remove_file(&next); // left by a process that died here
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&next)?;
        let written = file
            .write_all(&text)
            .and_then(|()| file.sync_all()) // else the new name may outlive a power cut, and what it names not
            .and_then(|()| fs::rename(&next, &path));
        written.inspect_err(|_| {
            let _ = fs::remove_file(&next); // gives a full disk its room back
        })
    }

    /// [`Self::write`] for a process that starts, which does not need it. What an earlier one left there
    /// would mislead those who do, so it goes if it cannot be replaced.
    pub fn write_or_remove(&self, prefix: &Path) -> io::Result<()> {
        self.write(prefix).inspect_err(|_| {
            let _ = fs::remove_file(prefix.join(FILE_NAME));
        })
    }

    /// Hands these over to a process that takes them with [`Self::take_over`].
    pub fn hand_over(&self, to: impl Write) -> io::Result<()> {
        let mut to = BufWriter::new(to);
        serde_json::to_writer(&mut to, self)?;
        to.flush()
    }

    /// What another process hands over.
    pub fn take_over(from: impl Read) -> io::Result<Self> {
        Ok(serde_json::from_slice(&bounded::read_from(from, bounded::SAVED)?)?)
    }

    /// The settings themselves, as they are here: for the process to take up, in whose environment
    /// references to vaults lead somewhere.
    pub fn settings(&self) -> Settings {
        let all = self
            .settings
            .iter()
            .map(|(name, saved)| (name.clone(), saved.recall(saved.from.clone())))
            .collect();
        Settings::stack(self.file.clone(), self.directory.clone(), [all])
            .looked_up_in(Environment::here())
    }

    /// What reading the file again does not say.
    pub(super) fn layer(&self) -> Layer {
        let kept = self.settings.iter().filter(|(_, saved)| !saved.in_file);
        kept.map(|(name, saved)| (name.clone(), saved.recall(saved.origin_then()))).collect()
    }
}

fn remember(setting: &Setting) -> SavedSetting {
    let in_file = matches!(setting.origin, Origin::File { .. });
    SavedSetting { value: setting.text.clone(), from: setting.origin.to_string(), in_file }
}

impl SavedSetting {
    fn recall(&self, from: String) -> Setting {
        Setting { text: self.value.clone(), origin: Origin::Saved(from) }
    }

    /// The origin, for someone in another shell, where that variable may be unset.
    fn origin_then(&self) -> String {
        const THEN: &str = ", when it was started";
        if self.from.ends_with(THEN) { self.from.clone() } else { format!("{}{THEN}", self.from) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::conf::Sources;

    struct Started {
        dir: tempfile::TempDir,
    }

    impl Started {
        /// A process started with `file` and variables a=variable, b=variable.
        fn with(file: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let started = Self { dir };
            fs::write(started.path("g.conf"), file).unwrap();
            let variables = [("GATEWAY_A", "variable"), ("GATEWAY_B", "variable")];
            let sources = Sources {
                file: Some(started.path("g.conf")),
                variables: variables.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
                ..Sources::default()
            };
            Saved::of(&sources.settle().unwrap(), false).write(started.dir.path()).unwrap();
            started
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn reloaded(&self, sources: &Sources) -> Vec<String> {
            let saved = Saved::read(self.dir.path()).unwrap().unwrap();
            sources
                .settle_over(&saved)
                .unwrap()
                .iter()
                .map(|(name, s)| format!("{name}={}", s.text))
                .collect()
        }
    }

    #[test]
    fn only_the_owner_reads_it() {
        let started = Started::with("a = file\n");
        let mode = fs::metadata(started.path(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_the_same_is_not_written() {
        let started = Started::with("a = file\n");
        let inode = || fs::metadata(started.path(FILE_NAME)).unwrap().ino();
        let (before, saved) = (inode(), Saved::read(started.dir.path()).unwrap().unwrap());
        saved.write(started.dir.path()).unwrap();
        assert_eq!(inode(), before);
        Saved { detached: true, ..saved }.write(started.dir.path()).unwrap();
        assert_ne!(inode(), before);
    }

    #[test]
    fn what_cannot_be_replaced_does_not_stay() {
        let started = Started::with("a = file\n");
        fs::create_dir(started.path(".gateway_env.next")).unwrap();
        let other = Saved { detached: true, ..Saved::default() };
        other.write(started.dir.path()).unwrap_err();
        assert!(started.path(FILE_NAME).exists(), "a reload that fails leaves it");
        other.write_or_remove(started.dir.path()).unwrap_err();
        assert!(!started.path(FILE_NAME).exists());
    }

    #[test]
    fn a_reload_reads_the_file_again_and_keeps_the_environment_of_the_start() {
        let started = Started::with("a = old\nc = old\nd = old\n");
        fs::write(started.path("g.conf"), "a = new\nc = new\n").unwrap();
        assert_eq!(started.reloaded(&Sources::default()), ["a=variable", "b=variable", "c=new"]);
    }

    #[test]
    fn a_file_named_at_reload_is_the_newer_word() {
        let started = Started::with("a = old\nc = old\n");
        fs::write(started.path("other.conf"), "a = other\n").unwrap();
        let sources = Sources { file: Some(started.path("other.conf")), ..Sources::default() };
        assert_eq!(started.reloaded(&sources), ["a=other", "b=variable"]);
    }

    #[test]
    fn a_value_of_several_lines_survives() {
        let dir = tempfile::tempdir().unwrap();
        let pem = "-----BEGIN X-----\n#\"'\n-----END X-----";
        let sources = Sources {
            variables: vec![("KONG_CLUSTER_CERT".to_owned(), pem.to_owned())],
            ..Sources::default()
        };
        Saved::of(&sources.settle().unwrap(), false).write(dir.path()).unwrap();
        let settings = Saved::read(dir.path()).unwrap().unwrap().settings();
        let setting = settings.get("cluster_cert").unwrap();
        assert_eq!(setting.text, pem);
        assert_eq!(setting.origin.to_string(), "KONG_CLUSTER_CERT");
    }
}
