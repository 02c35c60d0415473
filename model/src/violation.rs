//! Everything wrong with an input, at once: a tree shaped like the input.
//!
//! Its JSON form is the `fields` of an error body, its text the `message`. Of a
//! record, or a list, the first [`TOLD`] violations are told and the rest are
//! counted: an answer does not grow with what a client makes wrong.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The key under which a record's own violations stand beside its fields'.
pub const ENTITY: &str = "@entity";

/// How many violations of one record, or of one list, are told.
pub const TOLD: usize = 100;

/// What is wrong with a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    entity: Vec<String>,
    fields: BTreeMap<String, Violation>,
    /// How many there are beyond those.
    untold: usize,
}

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The value itself.
    Message(String),
    /// Something inside the record that it is.
    Record(Violations),
    /// Some of its elements.
    List(Elements),
}

/// What is wrong with the elements of a list. Made by [`Violation::list`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    /// In order; `None` stands for a good one.
    told: Vec<Option<Violation>>,
    /// How many bad ones there are beyond those.
    untold: usize,
}

impl Violations {
    /// One field is wrong.
    pub fn field(name: impl Into<String>, violation: impl Into<Violation>) -> Self {
        let mut violations = Self::default();
        violations.set(name, violation);
        violations
    }

    /// The record as a whole is wrong.
    pub fn entity(message: impl Into<String>) -> Self {
        Self { entity: vec![message.into()], ..Self::default() }
    }

    /// True if nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.entity.is_empty() && self.fields.is_empty() && self.untold == 0
    }

    /// Whether something is told to be wrong with this field.
    pub fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Says what is wrong with a field, in place of what was said before.
    pub fn set(&mut self, name: impl Into<String>, violation: impl Into<Violation>) {
        let name = name.into();
        if self.has(&name) || self.has_room() {
            self.fields.insert(name, violation.into());
        }
    }

    /// Whether something is told to be wrong at the end of this path of fields.
    pub fn has_at(&self, path: &str) -> bool {
        match path.split_once('.') {
            None => self.has(path),
            Some((first, rest)) => match self.fields.get(first) {
                Some(Violation::Record(inner)) => inner.has_at(rest),
                Some(_) => true, // all of it is wrong
                None => false,
            },
        }
    }

    /// Says what is wrong at the end of this path of fields, in place of what was said before.
    pub fn set_at(&mut self, path: &str, violation: impl Into<Violation>) {
        match path.split_once('.') {
            None => self.set(path, violation),
            Some((first, rest)) => {
                if !self.has(first) {
                    self.set(first, Violations::default());
                }
                if let Some(inner) = self.fields.get_mut(first) {
                    inner.as_record().set_at(rest, violation.into());
                }
            }
        }
    }

    /// Says what else is wrong with a field, after what was said of it before.
    pub fn add(&mut self, name: &str, message: &str) {
        match self.fields.get_mut(name) {
            Some(Violation::Message(said)) => {
                said.push_str("; ");
                said.push_str(message);
            }
            _ => self.set(name, message),
        }
    }

    /// Says what is wrong with the record as a whole, after what was said before.
    pub fn add_entity(&mut self, message: impl Into<String>) {
        if self.has_room() {
            self.entity.push(message.into());
        }
    }

    /// Whether one more is told; it is counted if not.
    fn has_room(&mut self) -> bool {
        let has_room = self.entity.len() + self.fields.len() < TOLD;
        self.untold += usize::from(!has_room);
        has_room
    }

    /// What is wrong with the record at this place of a list, to be added to.
    pub fn element(&mut self, list: &str, index: usize) -> &mut Violations {
        let field = self.fields.entry(list.to_owned());
        let elements = field.or_insert_with(|| Violation::List(Elements::default())).as_list();
        if elements.len() <= index {
            elements.resize(index + 1, None);
        }
        elements[index].get_or_insert_with(|| Violations::default().into()).as_record()
    }

    /// Adds what is wrong elsewhere in the same record; where both speak of a field, the other counts.
    pub fn extend(&mut self, other: Violations) {
        other.entity.into_iter().for_each(|message| self.add_entity(message));
        other.fields.into_iter().for_each(|(name, violation)| self.set(name, violation));
        self.untold += other.untold;
    }

    /// The same of a change to what is there: Kong's words for what is missing then.
    pub fn when_updating(mut self) -> Self {
        for message in &mut self.entity {
            if message.starts_with("at least one of these fields must be non-empty") {
                message.insert_str(0, "when updating, ");
            }
        }
        for violation in self.fields.values_mut() {
            if let Violation::Record(record) = violation {
                *record = std::mem::take(record).when_updating();
            }
        }
        self
    }

    /// Counts what is not told.
    pub fn leave_untold(&mut self, count: usize) {
        self.untold += count;
    }

    /// What is wrong with the record as a whole.
    pub fn of_entity(&self) -> &[String] {
        &self.entity
    }

    /// How much else is wrong.
    pub fn untold(&self) -> usize {
        self.untold
    }

    /// What is wrong with its fields, by name.
    pub fn of_fields(&self) -> impl Iterator<Item = (&str, &Violation)> {
        self.fields.iter().map(|(name, violation)| (name.as_str(), violation))
    }

    /// Every message with its place, such as `services.1.tags.2` (counted from 1); without one where
    /// the record as a whole is meant.
    pub fn messages(&self) -> Vec<(String, Cow<'_, str>)> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    /// The tree as a Lua table on one line: `{services={[2]="expected a record"}}`.
    pub fn to_line(&self) -> String {
        let tree = Violation::Record(self.clone());
        tree.to_line()
    }

    fn collect<'a>(&'a self, at: &str, found: &mut Vec<(String, Cow<'a, str>)>) {
        found.extend(self.entity_messages().map(|message| (at.to_owned(), message)));
        for (name, violation) in &self.fields {
            violation.collect(&under(at, name), found);
        }
    }

    /// `Ok(value)` if nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The `fields` of an error body.
    pub fn to_json(&self) -> Value {
        let entity: Vec<Value> = self.entity_messages().map(Value::from).collect();
        let entity = (!entity.is_empty()).then(|| (ENTITY.to_owned(), entity.into()));
        let fields =
            self.fields.iter().map(|(name, violation)| (name.clone(), violation.to_json()));
        Value::Object(entity.into_iter().chain(fields).collect::<Map<_, _>>())
    }

    /// What is said of the record as a whole: at last, how much else is wrong.
    fn entity_messages(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let untold = (self.untold > 0).then(|| more(self.untold).into());
        self.entity.iter().map(|message| message.as_str().into()).chain(untold)
    }

    /// What a summary counts: one line per message of the first two levels.
    fn lines(&self) -> Vec<String> {
        let mut lines = self.entity.clone();
        for (name, violation) in &self.fields {
            match violation {
                Violation::Message(message) => lines.push(format!("{name}: {message}")),
                deeper => lines.extend(
                    deeper.children().iter().map(|(key, v)| format!("{name}.{key}: {}", v.text())),
                ),
            }
        }
        lines
    }
}

impl Violation {
    /// What is wrong with the elements of a list, in order: nothing if all are good. After those that
    /// are told stands how many more there are.
    pub fn list(elements: impl IntoIterator<Item = Option<Violation>>) -> Option<Self> {
        let (mut list, mut told, mut good, mut untold) = (Vec::new(), 0, 0, 0);
        for element in elements {
            match element {
                None => good += 1,
                Some(_) if told == TOLD => untold += 1,
                Some(violation) => {
                    // Good ones are shown for the place of the bad one after them.
                    list.resize(list.len() + std::mem::take(&mut good), None);
                    list.push(Some(violation));
                    told += 1;
                }
            }
        }
        (told > 0).then_some(Violation::List(Elements { told: list, untold }))
    }

    /// Every message in it with its place, below `at`.
    fn collect<'a>(&'a self, at: &str, found: &mut Vec<(String, Cow<'a, str>)>) {
        match self {
            Violation::Message(message) => found.push((at.to_owned(), message.as_str().into())),
            Violation::Record(violations) => violations.collect(at, found),
            Violation::List(elements) => {
                for (n, element) in (1_usize..).zip(&elements.told) {
                    if let Some(violation) = element {
                        violation.collect(&under(at, &n.to_string()), found);
                    }
                }
                found.extend(elements.more().map(|more| (at.to_owned(), more.into())));
            }
        }
    }

    /// The list that it is, or becomes.
    fn as_list(&mut self) -> &mut Vec<Option<Violation>> {
        if !matches!(self, Violation::List(_)) {
            *self = Violation::List(Elements::default());
        }
        match self {
            Violation::List(elements) => &mut elements.told,
            _ => unreachable!("it has just become one"),
        }
    }

    /// The record that it is, or becomes: what was said of the value is said of the whole record.
    fn as_record(&mut self) -> &mut Violations {
        if !matches!(self, Violation::Record(_)) {
            *self = Violation::Record(match self {
                Violation::Message(message) => Violations::entity(std::mem::take(message)),
                _ => Violations::default(),
            });
        }
        match self {
            Violation::Record(violations) => violations,
            _ => unreachable!("it has just become one"),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Violation::Message(message) => message.as_str().into(),
            Violation::Record(violations) => violations.to_json(),
            Violation::List(elements) => elements
                .all()
                .map(|element| element.map_or(Value::Null, |violation| violation.to_json()))
                .collect(),
        }
    }

    /// What is inside, each with its key (counted from 1 in a list).
    fn children(&self) -> Vec<(String, Cow<'_, Violation>)> {
        match self {
            Violation::Message(_) => Vec::new(),
            Violation::Record(violations) => {
                let messages =
                    violations.entity_messages().map(|text| Some(text.into_owned().into()));
                let messages = Elements { told: messages.collect(), untold: 0 };
                let entity = (!messages.told.is_empty())
                    .then(|| (ENTITY.to_owned(), Cow::Owned(Violation::List(messages))));
                let fields =
                    violations.fields.iter().map(|(name, v)| (name.clone(), Cow::Borrowed(v)));
                entity.into_iter().chain(fields).collect()
            }
            Violation::List(elements) => (1..)
                .zip(elements.all())
                .filter_map(|(n, element): (u32, _)| Some((n.to_string(), element?)))
                .collect(),
        }
    }

    fn text(&self) -> String {
        match self {
            Violation::Message(message) => message.clone(),
            deeper => deeper.to_table(),
        }
    }

    /// What Kong prints from the third level on: a Lua table.
    fn to_table(&self) -> String {
        let deeper = |child: &Violation| child.to_table().replace('\n', "\n  ");
        format!("{{\n  {}\n}}", self.cells(" = ", deeper).join(",\n  "))
    }

    fn to_line(&self) -> String {
        format!("{{{}}}", self.cells("=", Violation::to_line).join(","))
    }

    /// The cells of a Lua table, tables inside it shown by `deeper`.
    fn cells(&self, is: &str, deeper: impl Fn(&Violation) -> String) -> Vec<String> {
        let cell = |((key, child), n): ((String, Cow<'_, Violation>), u32)| {
            let value = match &*child {
                Violation::Message(message) => literal(message),
                table => deeper(table),
            };
            match self {
                Violation::List(_) if key == n.to_string() => value,
                Violation::List(_) => format!("[{key}]{is}{value}"),
                _ if is_identifier(&key) => format!("{key}{is}{value}"),
                _ => format!("[{}]{is}{value}", literal(&key)),
            }
        };
        self.children().into_iter().zip(1..).map(cell).collect()
    }
}

impl Elements {
    /// Those that are told, in order; `None` stands for a good one.
    pub fn told(&self) -> &[Option<Violation>] {
        &self.told
    }

    /// The same list with this told of it, if there is anything to say.
    pub fn retold(&self, told: impl IntoIterator<Item = Option<Violation>>) -> Option<Violation> {
        let told: Vec<_> = told.into_iter().collect();
        let is_bad = self.untold > 0 || told.iter().any(Option::is_some);
        is_bad.then_some(Violation::List(Self { told, untold: self.untold }))
    }

    /// What is told, and after it how much is not.
    fn all(&self) -> impl Iterator<Item = Option<Cow<'_, Violation>>> {
        let more = self.more().map(|more| Some(Cow::Owned(more.into())));
        self.told.iter().map(|element| element.as_ref().map(Cow::Borrowed)).chain(more)
    }

    fn more(&self) -> Option<String> {
        (self.untold > 0).then(|| more(self.untold))
    }
}

fn more(untold: usize) -> String {
    match untold {
        1 => "and 1 more violation".to_owned(),
        n => format!("and {n} more violations"),
    }
}

fn under(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_identifier(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The message that goes with the tree: `schema violation (host: required field missing)`.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.lines();
        match lines.len() + self.untold {
            1 => f.write_str("schema violation (")?,
            n => write!(f, "{n} schema violations (")?,
        }
        lines.extend((self.untold > 0).then(|| more(self.untold)));
        f.write_str(&lines.join("; "))?;
        f.write_char(')')
    }
}

impl std::error::Error for Violations {}

impl Serialize for Violations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl From<&str> for Violation {
    fn from(message: &str) -> Self {
        Violation::Message(message.to_owned())
    }
}

impl From<String> for Violation {
    fn from(message: String) -> Self {
        Violation::Message(message)
    }
}

impl From<Violations> for Violation {
    fn from(violations: Violations) -> Self {
        Violation::Record(violations)
    }
}

impl Violations {
    /// The same of a value: where nothing is said but of the record as a whole, that is said of the
    /// value.
    pub fn of_value(mut self) -> Violation {
        match self.entity.pop() {
            Some(message) if self.is_empty() => Violation::Message(message),
            message => {
                self.entity.extend(message);
                Violation::Record(self)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_violations_the_first_are_told() {
        let mut found = Violations::default();
        for n in 0..TOLD + 2 {
            found.set(format!("f{n:03}"), "unknown field");
        }
        found.set("f000", "wrong"); // told already
        let json = found.to_json();
        assert_eq!(json.as_object().map(Map::len), Some(TOLD + 1));
        assert_eq!((&json["f000"], &json["f099"]), (&"wrong".into(), &"unknown field".into()));
        assert_eq!(json[ENTITY], serde_json::json!(["and 2 more violations"]));
        let text = found.to_string();
        assert!(text.starts_with("102 schema violations (f000: wrong; "), "{text}");
        assert!(text.ends_with("; f099: unknown field; and 2 more violations)"), "{text}");

        let text = Violations::field("inner", found).to_string();
        assert!(text.contains("\"and 2 more violations\"\n}; inner.f000: wrong"), "{text}");
    }

    #[test]
    fn several_mistakes_of_a_field_are_all_told() {
        let mut found = Violations::default();
        found.add("paths", "looks around");
        found.add("paths", "refers back");
        assert_eq!(found.to_json()["paths"], "looks around; refers back");
    }

    #[test]
    fn of_too_many_bad_elements_the_first_are_told() {
        let good_and_bad = (0..TOLD + 1).flat_map(|_| [None, Some("wrong".into())]);
        let list = Violation::list(good_and_bad.chain([None])).expect("some are bad").to_json();
        assert_eq!(list.as_array().map(Vec::len), Some(2 * TOLD + 1));
        assert_eq!((&list[0], &list[199]), (&Value::Null, &"wrong".into()));
        assert_eq!(list[200], "and 1 more violation");
        assert_eq!(Violation::list([None, None]), None);
    }
}
