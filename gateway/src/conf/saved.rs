//! `<prefix>/.gateway_env`: what a running process was started with.
//!
//! `reload` and `restart` need it because the environment and the directory of the operator's shell
//! are not those the process was started from. It may hold secrets, so only its owner reads it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Layer, Origin, Setting, Settings};

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
        }
    }

    /// What the process in `prefix` was started with; `None` if none ever was.
    pub fn read(prefix: &Path) -> io::Result<Option<Self>> {
        match fs::read(prefix.join(FILE_NAME)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces what `prefix` remembers, whole or not at all.
    pub fn write(&self, prefix: &Path) -> io::Result<()> {
        let next = prefix.join(".gateway_env.next");
        let _ = fs::remove_file(&next); // left by a process that died here
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&next)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?; // else the new name may outlive a power cut, and what it names not
        fs::rename(next, prefix.join(FILE_NAME))
    }

    /// The settings themselves, as they are here: for the process to take up.
    pub fn settings(&self) -> Settings {
        let all = self
            .settings
            .iter()
            .map(|(name, saved)| (name.clone(), saved.recall(saved.from.clone())))
            .collect();
        Settings::stack(self.file.clone(), self.directory.clone(), [all])
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
    use std::os::unix::fs::PermissionsExt;

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
