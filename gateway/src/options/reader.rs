//! Reads properties as types, noting each mistake and going on with the default.
//!
//! A property is read by its own name; what was said under a name mapped to it counts where nothing
//! was said under its own. Mistakes name what the operator wrote, not what it stands for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::iter;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::listen::parse_listeners;
use super::secrets::Secrets;
use super::{Listen, Mistake, Mistakes, Notice};
use model::vault::Reference;

use crate::conf::{Setting, Settings};
use crate::properties::{self, Kind, Property, Standing};

/// What is shown in place of a secret.
pub(super) const MASK: &str = "******";

pub(super) struct Reader<'a> {
    pub(super) settings: &'a Settings,
    pub(super) secrets: &'a Secrets,
    mistakes: Vec<Mistake>,
    notices: Vec<Notice>,
    /// Every property whose text was asked for: those that have a say in this node.
    asked: RefCell<BTreeSet<&'static str>>,
    /// Every listener that will be opened, with its property.
    pub(super) claimed: Vec<(&'static str, Listen)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: &'a Settings, secrets: &'a Secrets) -> Self {
        let notices = settings.warnings.iter().cloned().map(Notice::Warning).collect();
        let mistakes = settings.bad_lines.iter().map(Mistake::of_line).collect();
        let (asked, claimed) = (RefCell::default(), Vec::new());
        let mut reader = Self { settings, secrets, mistakes, notices, asked, claimed };
        secrets.failures().iter().for_each(|(name, why)| reader.mistake(name, why.clone()));
        reader
    }

    /// What was read, unless something was wrong; it is missing only where that was noted.
    pub(super) fn into_result<T>(self, value: Option<T>) -> Result<T, Mistakes> {
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => Err(Mistakes { all: self.mistakes, notices: self.notices }),
        }
    }

    pub(super) fn notices(&self) -> Vec<Notice> {
        self.notices.clone()
    }

    /// The properties that were read so far, under their own names.
    pub(super) fn asked(&self) -> BTreeSet<&'static str> {
        self.asked.borrow().clone()
    }

    pub(super) fn inform(&mut self, text: String) {
        self.notices.push(Notice::Info(text));
    }

    /// Once, however many listeners it is about.
    pub(super) fn warn(&mut self, text: String) {
        let notice = Notice::Warning(text);
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// Notes that what was said about `name`, or that nothing was, is wrong.
    pub(super) fn wrong(&mut self, name: &str, what: impl Display) {
        let used = self.said(name).map_or(name, |(used, _)| used);
        // Of what could not be looked up that is all there is to say.
        if !self.secrets.lacks(used) {
            self.mistake(name, self.secrets.discreet(used, what.to_string()));
        }
    }

    fn mistake(&mut self, name: &str, what: String) {
        let mistake = match self.said(name) {
            Some((used, setting)) => {
                Mistake { property: used.to_owned(), said: Some(show(used, setting)), what }
            }
            None => Mistake { property: name.to_owned(), said: None, what },
        };
        // A value of the wrong kind is met when all are checked and again when it is read.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// What was said about `name`, under it or under a name mapped to it, and under which.
    pub(super) fn said<'n>(&self, name: &'n str) -> Option<(&'n str, &'a Setting)> {
        let mapped =
            properties::all().filter(|p| matches!(p.standing, Standing::Mapped(to) if to == name));
        let mut names = iter::once(name).chain(mapped.map(|property| property.name));
        names.find_map(|name| Some((name, self.settings.get(name)?)))
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.asked.borrow_mut().insert(property(name).name);
        self.said(name).is_some()
    }

    /// Whether what was said is what counts where nothing is.
    pub(super) fn is_as_by_default(&self, name: &str) -> bool {
        self.counting(name).unwrap_or_default() == property(name).default
    }

    /// The text that counts: what was said, else the default, else nothing. Asking for it is what
    /// makes a property effective.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.asked.borrow_mut().insert(property(name).name);
        self.counting(name)
    }

    /// The same, to be shown and not acted upon.
    pub(super) fn counting(&self, name: &str) -> Option<&'a str> {
        let default = Some(property(name).default).filter(|text| !text.is_empty());
        self.said(name).and_then(|(used, setting)| self.meant(used, setting)).or(default)
    }

    /// What a setting says, or leads to.
    pub(super) fn meant(&self, name: &str, setting: &'a Setting) -> Option<&'a str> {
        let value = self.secrets.get(name).unwrap_or(&setting.text);
        (!self.secrets.lacks(name)).then_some(value)
    }

    pub(super) fn list(&self, name: &str) -> Vec<&'a str> {
        items(self.text(name).unwrap_or_default())
    }

    /// A path; relative ones start where the process was started.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(|text| self.settings.directory.join(text))
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), Some("on" | "true"))
    }

    /// One of the property's choices; its default where the text is none of them.
    pub(super) fn choice(&self, name: &str) -> &'static str {
        let property = property(name);
        let Kind::Choice(choices) = property.kind else { return property.default };
        let text = self.text(name).unwrap_or_default();
        choices.iter().copied().find(|choice| *choice == text).unwrap_or(property.default)
    }

    pub(super) fn whole(&mut self, name: &str, range: RangeInclusive<u64>) -> u64 {
        let Some(number) = self.text(name).and_then(|text| text.parse().ok()) else {
            return *range.start();
        };
        if !range.contains(&number) {
            let (from, to) = range.clone().into_inner();
            let upper = if to >= u64::from(u32::MAX) {
                String::new()
            } else {
                format!(" and {to} or less")
            };
            self.wrong(name, format!("must be {from} or greater{upper}"));
            return from;
        }
        number
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        self.text(name).and_then(parse_number).unwrap_or_default()
    }

    /// A time as nginx has it.
    pub(super) fn time(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(parse_time)
    }

    /// Bytes; `None` for the 0 that means "no limit".
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(parse_size).filter(|size| *size > 0)
    }

    /// Notes a value that is not what its kind asks for, if the property matters at all.
    pub(super) fn check_kind(&mut self, property: &Property) {
        if matches!(property.standing, Standing::Inert(_) | Standing::Refused(_)) {
            return;
        }
        let Some(setting) = self.settings.get(property.name) else { return };
        let Some(text) = self.meant(property.name, setting) else { return };
        if let Err(expected) = fits(property, text) {
            self.wrong(property.name, expected);
        }
    }

    /// Notes a value that is possible in Kong and not here.
    pub(super) fn only(&mut self, name: &str, setting: &'a Setting, values: &[&str], why: &str) {
        let Some(text) = self.meant(name, setting) else { return };
        let fits = fits(property(name), text).is_ok(); // if not, `check_kind` says so
        if fits && !values.contains(&text) {
            self.wrong(name, why);
        }
    }

    /// Notes a name that is not in the table. Kong's images set variables that are no properties, so
    /// those are pointed out only where they look like a slip.
    pub(super) fn unknown(&mut self, name: &str, setting: &Setting) {
        let from = &setting.origin;
        match properties::nearest(name) {
            Some(near) => {
                self.warn(format!("{name} ({from}) is not a property; did you mean {near}?"))
            }
            None if from.to_string().starts_with("KONG_") => {}
            None => self.warn(format!("{name} ({from}) is not a property")),
        }
    }
}

/// The property of that name; only names in the table are ever read.
fn property(name: &str) -> &'static Property {
    properties::find(name).expect("code reads only properties that are in the table")
}

/// What is between the commas.
pub(super) fn items(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// Whether `text` is of the property's kind; else what would be.
fn fits(property: &Property, text: &str) -> Result<(), String> {
    let expected = match property.kind {
        Kind::Flag if !matches!(text, "on" | "off" | "true" | "false") => {
            "expected on or off".to_owned()
        }
        Kind::Whole if text.parse::<u64>().is_err() => "expected a whole number".to_owned(),
        Kind::Number if parse_number(text).is_none() => "expected a number of 0 or more".to_owned(),
        Kind::Size if parse_size(text).is_none() => {
            "expected bytes, such as 512k, 10m or 0".to_owned()
        }
        Kind::Time if parse_time(text).is_none() => {
            "expected a time, such as 500ms, 60s or 1m30s".to_owned()
        }
        Kind::Choice(choices) if !choices.contains(&text) => {
            format!("expected one of: {}", choices.join(", "))
        }
        Kind::Listen => return parse_listeners(property.name, text).map(drop),
        _ => return Ok(()),
    };
    Err(expected)
}

fn parse_number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// Numbers with units, which add up; without a unit, seconds.
pub(super) fn parse_time(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(milliseconds)?;
        total = total.checked_add(Duration::from_millis(part))?;
        rest = behind;
        if rest.is_empty() {
            return Some(total).filter(|total| total.as_secs() <= u64::from(u32::MAX));
        }
    }
}

pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' => (text.trim_end_matches('k'), 10),
        b'm' => (text.trim_end_matches('m'), 20),
        b'g' => (text.trim_end_matches('g'), 30),
        _ => (text.as_str(), 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A value as an operator is shown it: one line, not too long, secrets hidden, and where it came from. A
/// reference to a secret is none.
pub fn show(name: &str, setting: &Setting) -> String {
    let secret = properties::find(name).is_some_and(Property::is_secret)
        && !Reference::is_meant(&setting.text);
    let line = if secret { MASK } else { setting.text.lines().next().unwrap_or_default() };
    let cut: String = line.chars().take(120).collect();
    let more = if !secret && cut.len() < setting.text.len() { "…" } else { "" };
    format!("\"{cut}{more}\" ({})", setting.origin)
}
