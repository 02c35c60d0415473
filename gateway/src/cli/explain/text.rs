//! An explanation as people read it.

use std::fmt::Write as _;

use model::explain::{Component, Explanation, Matched, Named, NearMiss, Outranked};

/// The whole of it, a line per fact.
pub(super) fn text(explanation: &Explanation) -> String {
    let mut text = Text::default();
    text.request(explanation);
    match &explanation.matched {
        Some(matched) => text.matched(matched),
        None => text.line("No route matches: the client is answered 404."),
    }
    text.other_order(explanation);
    text.outranked(&explanation.outranked, explanation.outranked_total);
    text.near_misses(&explanation.near_misses, explanation.near_misses_total);
    for note in &explanation.notes {
        text.line(&format!("\nNote: {note}."));
    }
    text.0
}

/// What has been told so far.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.0, "{line}");
    }

    fn row(&mut self, label: &str, value: &str) {
        let _ = writeln!(self.0, "  {label:<12}{value}");
    }

    fn request(&mut self, explanation: &Explanation) {
        let asked = &explanation.request;
        let host = if asked.host.is_empty() { "no host" } else { asked.host.as_str() };
        let port = asked.port.map_or_else(String::new, |port| format!(", port {port}"));
        let sni = asked.sni.as_ref().map_or_else(String::new, |sni| format!(", SNI {sni}"));
        let (method, path, scheme) = (&asked.method, &asked.path, &asked.scheme);
        self.line(&format!("{method} {path} over {scheme} for {host}{port}{sni}"));
        let (routes, order) = (explanation.routes, explanation.router_priority);
        self.line(&format!("{}, router_priority = {order}\n", counted(routes, "route")));
    }

    fn matched(&mut self, matched: &Matched) {
        self.line(&format!("Served by route {}", matched.route));
        for by in &matched.by {
            self.row(&by.attribute, &by.value);
        }
        if let Some(path) = &matched.path {
            let fate = if path.stripped { "which is taken off" } else { "which stays" };
            self.row("paths", &format!("{} matches {}, {fate}", path.pattern, path.matched));
        }
        if let Some(service) = &matched.service {
            self.row("service", &service.to_string());
        }
        for plugin in &matched.plugins {
            self.row("plugin", &plugin.to_string());
        }
        if let Some(upstream) = &matched.upstream {
            self.row("upstream", &upstream.uri);
            self.row("Host", &upstream.host);
        }
        if let Some(answer) = &matched.answer {
            self.row("answer", &format!("{}: {}", answer.status, answer.message));
            answer.location.iter().for_each(|location| self.row("Location", location));
        }
    }

    fn other_order(&mut self, explanation: &Explanation) {
        let Some(other) = &explanation.other_order else { return };
        let (order, route) = (other.router_priority, &other.route);
        let (by, because) = (called(other.decided_by), &other.because);
        self.line(&format!(
            "\nWith router_priority = {order}, route {route} would serve it, by {by}: {because}."
        ));
    }

    fn outranked(&mut self, lost: &[Outranked], total: usize) {
        if total == 0 {
            return;
        }
        self.line(&format!("\n{} as well, and {} later:", also(total), comes(total)));
        for Outranked { route, decided_by, because, first_in_other_order, .. } in lost {
            let mark = if *first_in_other_order { "; first in the other order" } else { "" };
            self.named(route, &format!("by {}: {because}{mark}", called(*decided_by)));
        }
        self.rest(lost.len(), total);
    }

    fn near_misses(&mut self, near: &[NearMiss], total: usize) {
        if total == 0 {
            return;
        }
        self.line(&format!("\n{} but for one attribute:", also(total)));
        for NearMiss { route, attribute, wanted, found, .. } in near {
            let what = match attribute.as_str() {
                "service" => "its service is not enabled".to_owned(),
                "headers" => format!("wants {}; the request has {found}", wanted.join(" and ")),
                _ => format!("wants {}; the request has {found}", wanted.join(" or ")),
            };
            self.named(route, &format!("{attribute}: {what}"));
        }
        self.rest(near.len(), total);
    }

    fn named(&mut self, route: &Named, what: &str) {
        let _ = writeln!(self.0, "  {route}\n      {what}");
    }

    fn rest(&mut self, told: usize, total: usize) {
        if told < total {
            self.line(&format!("  … and {} more (--all)", total - told));
        }
    }
}

fn also(routes: usize) -> String {
    if routes == 1 { "One route matches".to_owned() } else { format!("{routes} routes match") }
}

fn comes(routes: usize) -> &'static str {
    if routes == 1 { "comes" } else { "come" }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn called(component: Component) -> &'static str {
    match component {
        Component::Expression => "the priority of expressions",
        Component::AttributeCount => "the number of attributes",
        Component::PlainHost => "plain hosts",
        Component::RegexPath => "regular expressions",
        Component::HeaderCount => "the number of headers",
        Component::RegexPriority => "regex_priority",
        Component::PathLength => "the length of the path",
        Component::Id => "id",
    }
}
