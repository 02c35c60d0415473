//! What an operator at a terminal reads.

use std::env;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::conf::{Settings, Sources};
use crate::options::{self, Mistakes, Mode, Notice, Options};

/// By which name this program was called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Name {
    Gateway,
    /// A link of that name, for those whose scripts say `kong`.
    Kong,
}

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) enum Verbosity {
    Quiet,
    /// `--v`
    Loud,
    /// `--vv`
    Louder,
}

/// Stdout for what was asked for, stderr for everything else.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) name: Name,
    verbosity: Verbosity,
}

impl Name {
    pub(super) fn called() -> Self {
        let name = env::args_os().next().map(PathBuf::from);
        let is_kong = name.as_deref().and_then(Path::file_name) == Some(OsStr::new("kong"));
        if is_kong { Self::Kong } else { Self::Gateway }
    }
}

impl Verbosity {
    pub(super) fn of(v: bool, vv: bool) -> Self {
        match (v, vv) {
            (_, true) => Self::Louder,
            (true, false) => Self::Loud,
            (false, false) => Self::Quiet,
        }
    }
}

// A reader that has hung up does not change what a command does, so failures to write are let go.
impl Console {
    pub(super) fn new(name: Name, verbosity: Verbosity) -> Self {
        Self { name, verbosity }
    }

    pub(super) fn say(&self, text: impl Display) {
        let _ = writeln!(io::stdout(), "{text}");
    }

    pub(super) fn complain(&self, text: impl Display) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Help that was asked for. Kong prints it on stderr, where its users may be looking for it.
    pub(super) fn help(&self, text: &str) {
        match self.name {
            Name::Gateway => drop(write!(io::stdout(), "{text}")),
            Name::Kong => drop(write!(io::stderr(), "{text}")),
        }
    }

    /// The last words of a command that failed.
    pub(super) fn fail(&self, text: &str) {
        self.complain(format_args!("Error: {text}"));
        if self.verbosity == Verbosity::Quiet {
            self.complain("\n  Run with --v (verbose) or --vv (debug) for more details");
        }
    }

    /// What only those read who asked for more (`--v`).
    pub(super) fn add(&self, text: impl Display) {
        self.detail(Verbosity::Loud, text);
    }

    fn detail(&self, from: Verbosity, text: impl Display) {
        if self.verbosity >= from {
            self.complain(text);
        }
    }

    /// The settings of a process that would start now, shown as far as asked for.
    pub(super) fn settle(&self, sources: &Sources) -> anyhow::Result<Settings> {
        let settings = sources.settle()?;
        self.show(&settings);
        Ok(settings)
    }

    pub(super) fn show(&self, settings: &Settings) {
        match &settings.file {
            Some(file) => {
                self.detail(Verbosity::Loud, format_args!("configuration file: {}", file.display()))
            }
            None => self.detail(Verbosity::Loud, "configuration file: none"),
        }
        for (name, setting) in settings.iter() {
            self.detail(
                Verbosity::Louder,
                format_args!("{name} = {}", options::show(name, setting)),
            );
        }
    }

    /// What the settings mean; warnings are shown, and with `--v` what was decided too.
    pub(super) fn options(&self, settings: &Settings, mode: Mode) -> anyhow::Result<Options> {
        let options = self.or_mistakes(Options::read(settings, mode))?;
        self.notices(&options.notices);
        Ok(options)
    }

    /// The same, of settings to start with.
    pub(super) fn options_to_start(&self, settings: &Settings) -> anyhow::Result<Options> {
        let options = self.options_of_log(settings, Mode::Foreground)?;
        self.notices(&options.notices);
        Ok(options)
    }

    /// The same, where a log is going to say what there is to say: only beside mistakes is it shown here.
    pub(super) fn options_of_log(
        &self,
        settings: &Settings,
        mode: Mode,
    ) -> anyhow::Result<Options> {
        self.or_mistakes(Options::read_to_start(settings, mode))
    }

    fn or_mistakes(&self, read: Result<Options, Mistakes>) -> anyhow::Result<Options> {
        Ok(read.inspect_err(|mistakes| self.notices(&mistakes.notices))?)
    }

    /// Something the operator should know about what was done.
    pub(super) fn warn(&self, text: impl Display) {
        self.complain(format_args!("[warn] {text}"));
    }

    fn notices(&self, notices: &[Notice]) {
        for notice in notices {
            match notice {
                Notice::Warning(text) => self.warn(text),
                Notice::Info(text) => self.detail(Verbosity::Loud, text),
            }
        }
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "Gateway",
            Self::Kong => "Kong",
        })
    }
}
