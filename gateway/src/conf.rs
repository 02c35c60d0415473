//! Settings before they mean anything: text by property name, each with where it came from.
//!
//! Values are stacked in layers, the later ones hiding the earlier: the file, the environment, the
//! command line. Nothing here knows a property; [`crate::properties`] does, and [`crate::options`]
//! turns the text into types. [`saved`] is what a running process left in its prefix.

pub mod saved;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, io};

use saved::Saved;

use crate::bounded;
use crate::vault::Environment;

/// Where a configuration file is looked for when `-c` names none; the first that exists counts.
pub const SEARCH: [&str; 3] =
    ["/etc/gateway/gateway.conf", "/etc/kong/kong.conf", "/etc/kong.conf"];

/// Our variables, and Kong's, which count where ours are not set.
const VARIABLE_PREFIXES: [&str; 2] = ["KONG_", "GATEWAY_"];

/// Where a value came from, in the words an operator can follow.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A line of a configuration file.
    File {
        /// The file, as it was named.
        path: Arc<Path>,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Variable(String),
    /// A command line option, such as `--prefix`.
    Argument(&'static str),
    /// One of these, as a process remembers it.
    Saved(String),
}

/// One value as it was written, surrounding blanks and quotes removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The text. Empty means "back to the default".
    pub text: String,
    /// Who said so.
    pub origin: Origin,
}

/// What a command was given to find its settings with.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file named with `-c`; it must exist.
    pub file: Option<PathBuf>,
    /// Environment variables.
    pub variables: Vec<(String, String)>,
    /// Properties set on the command line: name, value and the option's spelling.
    pub arguments: Vec<(&'static str, String, &'static str)>,
    /// Where secrets are looked up.
    pub environment: Environment,
    /// What the file said. A pipe says it once, and a command may ask twice.
    said: OnceCell<Layer>,
}

/// Every value that was set, whoever set it, by property name.
#[derive(Debug, Default)]
pub struct Settings {
    by_name: BTreeMap<String, Setting>,
    /// The file that was read, absolute; `None` if there was none to read.
    pub file: Option<PathBuf>,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// Lines that were understood but look like accidents.
    pub warnings: Vec<String>,
    /// Lines that were not. Whatever they meant to set is not set, so nothing may start from this.
    pub bad_lines: Vec<BadLine>,
    /// Where references to vaults lead: that of the process these settings are for.
    pub environment: Environment,
}

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// The file named by the operator, or by the process that is being reloaded, is not there.
    #[error("no file at: {}", .path.display())]
    NoFile {
        /// The path as given.
        path: PathBuf,
    },

    /// The file is there and cannot be read.
    #[error("could not read {}", .path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A line of a file that is not understood.
#[derive(Clone, Debug)]
pub struct BadLine {
    /// Where it is.
    pub at: Origin,
    /// What it should be.
    pub what: String,
}

/// What one source said.
#[derive(Clone, Debug, Default)]
struct Layer {
    settings: Vec<(String, Setting)>,
    bad_lines: Vec<BadLine>,
}

impl Sources {
    /// Those of this process: the environment, and what its command line said.
    pub fn of_process(file: Option<PathBuf>, prefix: Option<&Path>) -> Self {
        let variables = env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .filter(|(name, _)| VARIABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        let arguments = prefix
            .map(|p| ("prefix", whole(p).to_string_lossy().into_owned(), "--prefix"))
            .into_iter()
            .collect();
        let environment = Environment::here();
        Self { file, variables, arguments, environment, said: OnceCell::new() }
    }

    /// A file and nothing else, whatever the environment of the tests says.
    #[cfg(test)]
    pub fn of_file(file: PathBuf) -> Self {
        Self { file: Some(file), ..Self::default() }
    }

    /// The settings of a process that starts now.
    pub fn settle(&self) -> Result<Settings, ConfError> {
        let file = self.file.clone().or_else(found);
        let directory = env::current_dir().unwrap_or_default();
        let read = self.layer(file.as_deref())?;
        let layers = [read, self.variables(), self.arguments()];
        Ok(Settings::stack(file, directory, layers).looked_up_in(self.environment.clone()))
    }

    /// The settings a running process should change to.
    ///
    /// Its file is read again, while what its environment said holds, because that is not the
    /// environment of the shell asking. A file named now, however, is a newer word than either.
    pub fn settle_over(&self, saved: &Saved) -> Result<Settings, ConfError> {
        let (now, then) = (self.file.clone(), saved.file.clone().or_else(found));
        let read = self.layer(now.as_deref().or(then.as_deref()))?;
        let kept = saved.layer();
        let directory = saved.directory.clone();
        let settings = match now {
            Some(file) => Settings::stack(
                Some(file),
                directory,
                [kept, read, self.variables(), self.arguments()],
            ),
            None => {
                Settings::stack(then, directory, [read, kept, self.variables(), self.arguments()])
            }
        };
        Ok(settings.looked_up_in(self.environment.clone()))
    }

    fn layer(&self, path: Option<&Path>) -> Result<Layer, ConfError> {
        let Some(path) = path else { return Ok(Layer::default()) };
        if self.file.as_deref() != Some(path) {
            return read(path);
        }
        if let Some(said) = self.said.get() {
            return Ok(said.clone());
        }
        read(path).map(|layer| self.said.get_or_init(|| layer).clone())
    }

    fn variables(&self) -> Layer {
        VARIABLE_PREFIXES.iter().flat_map(|prefix| self.variables_named(prefix)).collect()
    }

    fn variables_named(&self, prefix: &str) -> impl Iterator<Item = (String, Setting)> {
        self.variables.iter().filter_map(move |(variable, value)| {
            let name = variable.strip_prefix(prefix)?.to_ascii_lowercase();
            let origin = Origin::Variable(variable.clone());
            Some((name, Setting { text: value.trim().to_owned(), origin }))
        })
    }

    fn arguments(&self) -> Layer {
        let setting = |text: &String, option| Setting {
            text: text.clone(),
            origin: Origin::Argument(option),
        };
        self.arguments
            .iter()
            .map(|(name, text, option)| ((*name).to_owned(), setting(text, option)))
            .collect()
    }
}

impl Settings {
    fn stack<const N: usize>(
        file: Option<PathBuf>,
        directory: PathBuf,
        layers: [Layer; N],
    ) -> Self {
        let file = file.map(|path| directory.join(path));
        let mut settings = Self { file, directory, ..Self::default() };
        for layer in layers {
            settings.bad_lines.extend(layer.bad_lines);
            layer.settings.into_iter().for_each(|(name, setting)| settings.put(name, setting));
        }
        settings
    }

    /// The same, of a process with this environment.
    pub fn looked_up_in(self, environment: Environment) -> Self {
        Self { environment, ..self }
    }

    fn put(&mut self, name: String, setting: Setting) {
        if let (
            Some(Setting { origin: Origin::File { line: first, .. }, .. }),
            Origin::File { .. },
        ) = (self.by_name.get(&name), &setting.origin)
        {
            self.warnings.push(format!(
                "{name} ({}) is also set on line {first}; the later line counts",
                setting.origin
            ));
        }
        self.by_name.insert(name, setting);
    }

    /// What was said about `name`, unless it was said to be empty.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.by_name.get(name).filter(|setting| !setting.text.is_empty())
    }

    /// Everything that was set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.by_name
            .iter()
            .map(|(name, setting)| (name.as_str(), setting))
            .filter(|(_, s)| !s.text.is_empty())
    }
}

impl FromIterator<(String, Setting)> for Layer {
    fn from_iter<I: IntoIterator<Item = (String, Setting)>>(settings: I) -> Self {
        Self { settings: settings.into_iter().collect(), bad_lines: Vec::new() }
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Argument(option) => f.write_str(option),
            Self::Saved(then) => f.write_str(then),
        }
    }
}

fn found() -> Option<PathBuf> {
    SEARCH.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// From the root: a node is told of its prefix from wherever its operator is.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn read(path: &Path) -> Result<Layer, ConfError> {
    match bounded::read(path, bounded::SETTINGS) {
        Ok(text) => Ok(parse(&text, path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ConfError::NoFile { path: path.to_owned() })
        }
        Err(source) => Err(ConfError::Unreadable { path: path.to_owned(), source }),
    }
}

fn parse(text: &str, path: &Path) -> Layer {
    let path: Arc<Path> = path.into();
    let mut layer = Layer::default();
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
        let at = Origin::File { path: path.clone(), line: number };
        match parse_line(line) {
            Ok(Some((name, text))) => {
                layer.settings.push((name.to_owned(), Setting { text, origin: at }));
            }
            Ok(None) => {}
            Err(what) => layer.bad_lines.push(BadLine { at, what }),
        }
    }
    layer
}

fn parse_line(line: &str) -> Result<Option<(&str, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) =
        line.split_once('=').ok_or_else(|| format!("expected `key = value`, found `{line}`"))?;
    let name = name.trim();
    if name.is_empty()
        || name.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
    {
        return Err(format!("`{name}` is not the name of a property"));
    }
    let value = value.trim();
    Ok(Some((name, quoted(value).map_or_else(|| without_comment(value), str::to_owned))))
}

/// What is inside the one pair of quotes around the value, if there is one: literal, `#` included.
fn quoted(value: &str) -> Option<&str> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (inside, after) = value.get(1..)?.split_once(quote)?;
    let after = after.trim_start();
    (after.is_empty() || after.starts_with('#')).then_some(inside)
}

/// `#` starts a comment anywhere, except as `\#`.
fn without_comment(value: &str) -> String {
    let comment =
        value.match_indices('#').map(|(at, _)| at).find(|&at| !value[..at].ends_with('\\'));
    value[..comment.unwrap_or(value.len())].trim_end().replace("\\#", "#")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_is_a_key_and_a_value() {
        for (line, name, value) in [
            ("role = data_plane", "role", "data_plane"),
            ("role=data_plane", "role", "data_plane"),
            ("  role  =  data_plane  \r", "role", "data_plane"),
            ("plugins = a, b ,c", "plugins", "a, b ,c"),
            ("pg_password =", "pg_password", ""),
            ("admin_gui_url = http://a/?b=c", "admin_gui_url", "http://a/?b=c"),
        ] {
            assert_eq!(parse_line(line), Ok(Some((name, value.to_owned()))), "{line}");
        }
    }

    #[test]
    fn a_hash_starts_a_comment_unless_escaped_or_quoted() {
        for (line, value) in [
            ("k = v # why", "v"),
            ("k = v#why", "v"),
            (r"k = a\#b", "a#b"),
            (r"k = a\#b # why", "a#b"),
            (r#"k = "a#b""#, "a#b"),
            (r#"k = 'a # b'  # why"#, "a # b"),
            (r#"k = "a\#b""#, r"a\#b"),
            ("k = # only a comment", ""),
        ] {
            assert_eq!(parse_line(line), Ok(Some(("k", value.to_owned()))), "{line}");
        }
        assert_eq!(parse_line("# role = x"), Ok(None));
        assert_eq!(parse_line("   "), Ok(None));
    }

    #[test]
    fn only_one_matching_pair_around_the_whole_value_is_stripped() {
        for (line, value) in [
            (r#"k = "v""#, "v"),
            ("k = 'v'", "v"),
            (r#"k = '"v"'"#, r#""v""#),
            (r#"k = "v'"#, r#""v'"#),
            (r#"k = "a", "b""#, r#""a", "b""#),
            (r#"k = " v ""#, " v "),
            (r#"k = """#, ""),
            (r#"k = ""#, r#"""#),
        ] {
            assert_eq!(parse_line(line), Ok(Some(("k", value.to_owned()))), "{line}");
        }
    }

    #[test]
    fn every_bad_line_is_named() {
        let text = "role = x\nnonsense\n[section]\na b = 1\nworkers = 2\n";
        let layer = parse(text, Path::new("g.conf"));
        let bad: Vec<_> =
            layer.bad_lines.iter().map(|bad| format!("{}: {}", bad.at, bad.what)).collect();
        assert_eq!(
            bad,
            [
                "g.conf:2: expected `key = value`, found `nonsense`",
                "g.conf:3: expected `key = value`, found `[section]`",
                "g.conf:4: `a b` is not the name of a property",
            ]
        );
        let settings = Settings::stack(None, PathBuf::new(), [layer]);
        assert_eq!(settings.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["role", "workers"]);
        assert_eq!(settings.bad_lines.len(), 3);
    }

    #[test]
    fn the_command_line_beats_our_variables_which_beat_kongs_which_beat_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.conf");
        fs::write(&path, "a = file\nb = file\nc = file\nprefix = /file\n").unwrap();
        let variables = [
            ("GATEWAY_C", "ours"),
            ("KONG_C", "kong"),
            ("KONG_B", "kong"),
            ("KONG_PREFIX", "/kong"),
        ];
        let sources = Sources {
            file: Some(path.clone()),
            variables: variables.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
            arguments: vec![("prefix", "/argument".to_owned(), "--prefix")],
            ..Sources::default()
        };
        let settings = sources.settle().unwrap();
        let shown: Vec<_> =
            settings.iter().map(|(n, s)| format!("{n}={} {}", s.text, s.origin)).collect();
        let file = path.display();
        assert_eq!(
            shown,
            [
                format!("a=file {file}:1"),
                "b=kong KONG_B".to_owned(),
                "c=ours GATEWAY_C".to_owned(),
                "prefix=/argument --prefix".to_owned(),
            ]
        );
    }

    #[test]
    fn an_empty_variable_goes_back_to_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.conf");
        fs::write(&path, "a = file\n").unwrap();
        let sources = Sources {
            file: Some(path),
            variables: vec![("KONG_A".to_owned(), String::new())],
            ..Sources::default()
        };
        assert_eq!(sources.settle().unwrap().get("a"), None);
    }

    #[test]
    fn a_file_that_was_named_must_exist() {
        let sources = Sources { file: Some("/no/such.conf".into()), ..Sources::default() };
        assert_eq!(sources.settle().unwrap_err().to_string(), "no file at: /no/such.conf");
    }

    #[test]
    fn a_key_set_twice_is_pointed_out() {
        let layer = parse("a = 1\na = 2\n", Path::new("g.conf"));
        let settings = Settings::stack(None, PathBuf::new(), [layer]);
        assert_eq!(settings.get("a").map(|s| s.text.as_str()), Some("2"));
        assert_eq!(
            settings.warnings,
            ["a (g.conf:2) is also set on line 1; the later line counts"]
        );
    }
}
