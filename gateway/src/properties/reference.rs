//! docs/properties.md, made from the table and held against it: `BLESS=1 cargo test -p gateway reference`
//! writes it.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use super::{FAMILIES, GROUPS, Group, Kind, Property, Standing, all, find};
use crate::conf::SEARCH;

/// Above the groups. `{search}` stands for where a file is looked for.
const INTRODUCTION: &str = include_str!("introduction.md");

#[test]
fn the_reference_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/properties.md");
    let made = reference();
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differing = made.lines().zip(found.lines()).find(|(made, found)| made != found);
    assert!(
        made == found,
        "docs/properties.md is not made from the table: {differing:?}; BLESS=1 writes it anew"
    );
}

/// Names of properties stand for themselves, all else with a `_` is in backticks.
#[test]
fn what_is_said_of_one_property_names_only_others() {
    for property in all() {
        for text in [property.meaning, property.more].into_iter().flat_map(prose) {
            let mut words = words(text).filter(|word| word.contains('_') && !word.ends_with('_'));
            let unknown = words.find(|word| find(word).is_none());
            assert_eq!(unknown, None, "{}", property.name);
        }
    }
}

fn reference() -> String {
    let search: Vec<_> = SEARCH.iter().map(|path| format!("`{path}`")).collect();
    let mut text = INTRODUCTION.replace("{search}", &search.join(", "));
    for group in GROUPS {
        let anchor = group.title.to_lowercase().replace(' ', "-").replace([',', '\''], "");
        let _ = writeln!(text, "- [{}](#{anchor})", group.title);
    }
    text.push_str("- [Names made by a pattern](#names-made-by-a-pattern)\n");
    GROUPS.iter().for_each(|group| text.push_str(&chapter(group)));
    text.push_str(&families());
    text
}

fn chapter(group: &Group) -> String {
    let mut text = format!("\n## {}\n\n{}\n", group.title, escaped(group.about));
    for property in group.properties {
        if has_entry(property) {
            text.push_str(&entry(property));
        }
    }
    for (title, columns, row) in [
        ("Other names", "| property | is read as | environment |", mapped as fn(&_) -> _),
        (
            "Accepted without effect",
            "| property | what it is in Kong | why it has no effect |",
            inert,
        ),
        ("Refused", "| property | what it is in Kong | why it is an error to set it |", refused),
    ] {
        let rows: String = group.properties.iter().filter_map(row).collect();
        if !rows.is_empty() {
            let _ = write!(text, "\n**{title}**\n\n{columns}\n|---|---|---|\n{rows}");
        }
    }
    text
}

/// Whether it does something.
fn has_entry(property: &Property) -> bool {
    matches!(property.standing, Standing::Effective | Standing::Only(..))
}

fn entry(property: &Property) -> String {
    let Property { name, kind, default, readers, meaning, more, .. } = property;
    let default = if default.is_empty() { "unset".to_owned() } else { format!("`{default}`") };
    let readers = if readers.len() == 3 { "every role".to_owned() } else { readers.join(", ") };
    let mut text = format!(
        "\n### {name}\n\n{} · default: {default} · read by: {readers} · `{}`\n\n{}",
        takes(*kind),
        variable(name),
        escaped(meaning),
    );
    if !more.is_empty() {
        let _ = write!(text, " {}", escaped(more));
    }
    if let Standing::Only(values, why) = property.standing {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        let _ = write!(text, " **Only {}:** {}.", values.join(" or "), escaped(why));
    }
    text + "\n"
}

fn mapped(property: &Property) -> Option<String> {
    let Standing::Mapped(to) = property.standing else { return None };
    let (name, variable) = (property.name, variable(property.name));
    Some(format!("| `{name}` | [`{to}`](#{to}) | `{variable}` |\n"))
}

fn inert(property: &Property) -> Option<String> {
    let Standing::Inert(why) = property.standing else { return None };
    Some(format!("| `{}` | {} | {} |\n", property.name, cell(property.meaning), cell(why)))
}

fn refused(property: &Property) -> Option<String> {
    let Standing::Refused(why) = property.standing else { return None };
    Some(format!("| `{}` | {} | {} |\n", property.name, cell(property.meaning), cell(why)))
}

fn families() -> String {
    let mut text = "\n## Names made by a pattern\n\nKong makes properties of nginx's directives, and of the \
         names of vaults and plugin servers. Those that are not above have no effect or, where they would have \
         kept somebody out, are an error. The first pattern that fits counts.\n\n\
         | names | what happens | why |\n|---|---|---|\n"
        .to_owned();
    for family in FAMILIES {
        let (what, why) = match family.standing {
            Standing::Inert(why) => ("accepted without effect", why),
            Standing::Refused(why) => ("refused", why),
            other => panic!("{other:?} is for one property"),
        };
        let _ =
            writeln!(text, "| `{}…{}` | {what} | {} |", family.prefix, family.suffix, cell(why));
    }
    text
}

fn takes(kind: Kind) -> String {
    let word = match kind {
        Kind::Text => "text",
        Kind::Secret => "text, never shown",
        Kind::Path => "path",
        Kind::Pem => "certificate",
        Kind::PemKey => "private key, never shown",
        Kind::Flag => "`on` or `off`",
        Kind::Whole => "whole number",
        Kind::Number => "number",
        Kind::Time => "time",
        Kind::Size => "size",
        Kind::List => "list",
        Kind::Listen => "listeners",
        Kind::Log => "log",
        Kind::Choice(choices) => {
            let choices: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
            return choices.join(", ");
        }
    };
    word.to_owned()
}

fn variable(name: &str) -> String {
    format!("GATEWAY_{}", name.to_ascii_uppercase())
}

/// Text of the console as Markdown: what means something there stands for itself, but for code, and names of
/// properties lead to what is said of them.
fn escaped(text: &str) -> String {
    let pieces = text.split('`').enumerate().map(|(at, piece)| match at % 2 {
        0 => words(piece).map(linked).collect::<String>().replace('*', "\\*").replace('<', "&lt;"),
        _ => piece.to_owned(),
    });
    pieces.collect::<Vec<_>>().join("`")
}

fn linked(word: &str) -> String {
    let is_link = find(word).is_some_and(has_entry) && word.contains('_');
    if is_link { format!("[{word}](#{word})") } else { word.to_owned() }
}

/// What is not in backticks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').step_by(2)
}

/// Names, and what is between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split_inclusive(move |c: char| !is_name(c)).flat_map(move |piece| {
        let end = piece.find(|c: char| !is_name(c)).unwrap_or(piece.len());
        <[&str; 2]>::from(piece.split_at(end))
    })
}

fn cell(text: &str) -> String {
    escaped(text.trim_end_matches('.')).replace('|', "\\|")
}
