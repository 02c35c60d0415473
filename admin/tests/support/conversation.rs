//! Golden exchanges: requests in, responses out.
//!
//! A case is a conversation with a fresh node: requests, separated by empty
//! lines. A request is `METHOD /path`, headers, and a body from the first line
//! on that is no header. A body is JSON unless `Content-Type` says another (or
//! `none`). Ids that were made up are numbered in order of appearance.

use std::collections::HashMap;
use std::fmt::Write as _;

use reqwest::header::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

use super::Plane;

/// Says a whole conversation to this node, and returns the answers.
pub(crate) async fn converse(plane: &Plane, input: &str) -> String {
    let mut mask = Mask::default();
    let mut output = String::new();
    for request in input.split("\n\n") {
        let said = exchange(plane, request, &mut mask).await;
        let _ = writeln!(output, "{said}");
    }
    output
}

async fn exchange(plane: &Plane, text: &str, mask: &mut Mask) -> String {
    let mut lines = text.lines().skip_while(|line| line.starts_with('#')).peekable();
    let first = mask.reveal(lines.next().unwrap());
    let (method, path) = first.split_once(' ').unwrap();
    let mut request = plane.request(method, path);
    let (mut typed, mut is_browser) = (false, false);
    while let Some((name, value)) = lines.peek().and_then(|line| header(line)) {
        typed |= name == "Content-Type";
        is_browser |= name == "Origin";
        if value != "none" {
            request = request.header(name, value);
        }
        lines.next();
    }
    let body: Vec<&str> = lines.collect();
    let body = mask.reveal(&body.join("\n"));
    if !body.is_empty() {
        if !typed {
            request = request.header("Content-Type", "application/json");
        }
        // `""` stands for a body of no bytes.
        request = request.body(if body == "\"\"" { String::new() } else { body });
    }
    let response = request.send().await.unwrap();
    let mut said = format!("{}", response.status().as_u16());
    said.push_str(&shown(&NOTABLE, response.headers()));
    if is_browser {
        said.push_str(&shown(&FOR_BROWSERS, response.headers()));
    }
    let text = response.text().await.unwrap();
    match serde_json::from_str::<Value>(&text) {
        Ok(body) => {
            let _ = write!(said, "\n{}", compact(&mask.hide(body)));
        }
        Err(_) if text.is_empty() => {}
        Err(_) => {
            let _ = write!(said, "\nNOT JSON: {text}");
        }
    }
    said
}

fn header(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(": ")?;
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-').then_some((name, value))
}

/// Headers whose absence or change matters, and that not every response has.
const NOTABLE: [&str; 4] =
    ["allow", "access-control-allow-methods", "access-control-allow-headers", "deprecation"];

/// What every response tells browsers; shown to those only.
const FOR_BROWSERS: [&str; 2] = ["access-control-allow-origin", "access-control-allow-credentials"];

fn shown(names: &[&str], headers: &HeaderMap) -> String {
    let shown = names.iter().filter_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        Some(format!("\n{name}: {value}"))
    });
    shown.collect()
}

/// A member per line, and what is inside it on that line; null members, which say nothing but that
/// they are there, together at the end.
fn compact(body: &Value) -> String {
    let Some(members) = body.as_object().filter(|members| !members.is_empty()) else {
        return body.to_string();
    };
    let nulls: Vec<&str> = members
        .iter()
        .filter(|(_, value)| value.is_null())
        .map(|(name, _)| name.as_str())
        .collect();
    let lines = members
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match listed(value) {
            Some(listed) => format!("  {name}: {listed}"),
            None => format!("  {name}: {value}"),
        })
        .chain((!nulls.is_empty()).then(|| format!("  null: {}", nulls.join(" "))));
    lines.collect::<Vec<_>>().join("\n")
}

/// The entities of a list by name, or by id where they have none.
fn listed(value: &Value) -> Option<String> {
    let entities = value.as_array().filter(|entities| !entities.is_empty())?;
    let called = |entity: &Value| {
        let id = entity.get("id")?;
        Some(entity["name"].as_str().or(id.as_str())?.to_owned())
    };
    Some(entities.iter().map(called).collect::<Option<Vec<_>>>()?.join(", "))
}

/// Numbers made-up (version 4) ids. A request may use those numbers.
#[derive(Default)]
struct Mask {
    numbers: HashMap<String, usize>,
}

impl Mask {
    fn hide(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide_text(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.hide(value)).collect(),
            Value::Object(members) => Value::Object(
                members.into_iter().map(|(name, value)| (name, self.hide(value))).collect(),
            ),
            other => other,
        }
    }

    fn hide_text(&mut self, text: &str) -> String {
        let mut hidden = text.to_owned();
        for at in 0..text.len().saturating_sub(35) {
            let Some(part) = text.get(at..at + 36) else { continue };
            if Uuid::try_parse(part).is_ok_and(|id| id.get_version_num() == 4) {
                let next = self.numbers.len() + 1;
                let number = *self.numbers.entry(part.to_owned()).or_insert(next);
                hidden = hidden.replace(part, &format!("<{number}>"));
            }
        }
        hidden
    }

    fn reveal(&self, text: &str) -> String {
        let mut revealed = text.to_owned();
        for (id, number) in &self.numbers {
            revealed = revealed.replace(&format!("<{number}>"), id);
        }
        revealed
    }
}
