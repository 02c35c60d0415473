//! How Kong 3.10 gives a route to its matcher: as parts, each an expression with a
//! priority and an id. Written from its rules, not from our router.

use model::Flavor;
use model::entities::Route;
use model::value::{HostMatch, PathMatch};
use uuid::Uuid;

/// What the matcher knows of a route.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) id: Uuid,
    pub(crate) priority: u64,
    pub(crate) expression: String,
    /// Its paths: all prefixes of one length, or all regular expressions, or none.
    pub(crate) paths: Vec<String>,
}

const NAMESPACE: Uuid = Uuid::from_u128(0x7f145bf9_0dce_4f91_98eb_debbce4b9f6b);

pub(crate) fn parts(route: &Route, flavor: Flavor) -> Vec<Part> {
    if let Some(text) = &route.expression {
        let priority = 0xFF << 56 | u64::try_from(route.priority).expect("no less than 0");
        let expression = text.clone() + &clause(route, flavor);
        return vec![Part { id: route.id.uuid(), priority, expression, paths: vec![] }];
    }
    let groups = groups(route);
    let is_split = groups.len() > 1;
    let part = |(at, paths): (usize, Vec<String>)| Part {
        id: match is_split {
            true => Uuid::new_v5(&NAMESPACE, format!("{}#{}", route.id, at + 1).as_bytes()),
            false => route.id.uuid(),
        },
        priority: priority(route, &paths),
        expression: expression(route, &paths) + &clause(route, flavor),
        paths,
    };
    groups.into_iter().enumerate().map(part).collect()
}

/// The protocols of a route, which count where routes may be expressions.
fn clause(route: &Route, flavor: Flavor) -> String {
    let words: Vec<_> = route.protocols.iter().map(|protocol| protocol.as_str()).collect();
    if flavor != Flavor::Expressions || words == ["https"] {
        return String::new();
    }
    // Those of gRPC come over what HTTP comes over.
    let one = |word: &&str| {
        let over = match *word {
            "grpc" => "http",
            "grpcs" => "https",
            word => word,
        };
        format!(r#"net.protocol == "{over}""#)
    };
    format!(" && {}", any(words.iter().map(one)))
}

/// Paths by their length, regular expressions by themselves, as they first appear.
fn groups(route: &Route) -> Vec<Vec<String>> {
    let mut groups: Vec<(Option<usize>, Vec<String>)> = Vec::new();
    for path in route.paths.iter().flatten() {
        let kind = match path.matches() {
            PathMatch::Prefix(prefix) => Some(prefix.len()),
            PathMatch::Regex(_) => None,
        };
        match groups.iter_mut().find(|group| group.0 == kind) {
            Some(group) => group.1.push(path.to_string()),
            None => groups.push((kind, vec![path.to_string()])),
        }
    }
    if groups.is_empty() { vec![vec![]] } else { groups.into_iter().map(|group| group.1).collect() }
}

/// Shifts are LuaJIT's: of 32 bits, with a sign.
fn priority(route: &Route, paths: &[String]) -> u64 {
    let weight = [
        route.methods.is_some(),
        route.hosts.is_some(),
        route.headers.is_some(),
        route.snis.is_some(),
        !paths.is_empty(),
    ];
    let weight = weight.into_iter().filter(|is_set| *is_set).count() as i32;
    let headers = route.headers.as_ref().map_or(0, |headers| headers.len()) as i32;
    let wide = |number: i32| number as i64 as u64;
    let mut priority = wide(weight.wrapping_shl(29)) | wide(headers << 20);
    if route.hosts.as_ref().is_some_and(|hosts| !hosts.iter().any(|h| h.as_str().contains('*'))) {
        priority |= 1 << 60;
    }
    match paths.first() {
        Some(path) if path.starts_with('~') => {
            let regex_priority = route.regex_priority.unwrap_or(0) as i32;
            priority | 1 << 51 | wide(regex_priority.wrapping_shl(19))
        }
        Some(path) => priority | path.len() as u64,
        None => priority,
    }
}

fn expression(route: &Route, paths: &[String]) -> String {
    let mut all = Vec::new();
    if let Some(snis) = &route.snis {
        let one = |sni: &model::value::SniPattern| wild("tls.sni", sni.matches(), true);
        all.push(format!(r#"(net.protocol != "https") || {}"#, any(snis.iter().map(one))));
    }
    if let Some(methods) = &route.methods {
        all.push(any(methods.iter().map(|method| format!(r#"http.method == "{method}""#))));
    }
    if let Some(hosts) = &route.hosts {
        all.push(any(hosts.iter().map(|host| {
            let (name, port) = host.parts();
            let name = wild("http.host", name, false);
            match port {
                Some(port) => format!("({name} && net.dst.port == {port})"),
                None => name,
            }
        })));
    }
    if !paths.is_empty() {
        all.push(any(paths.iter().map(|path| match path.strip_prefix('~') {
            Some(regex) => format!(r##"http.path ~ r#"^{regex}"#"##),
            None => format!(r##"http.path ^= r#"{path}"#"##),
        })));
    }
    for (name, values) in route.headers.iter().flatten() {
        let name = name.as_str().to_lowercase().replace('-', "_");
        all.push(any(values.iter().map(|value| {
            let (operator, value) = match value.strip_prefix("~*") {
                Some(regex) => ("~", regex),
                None => ("==", value.as_str()),
            };
            let value = value.to_lowercase();
            format!(r##"any(lower(http.headers.{name})) {operator} r#"{value}"#"##)
        })));
    }
    all.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" && ")
}

fn any(alternatives: impl Iterator<Item = String>) -> String {
    format!("({})", alternatives.collect::<Vec<_>>().join(" || "))
}

fn wild(field: &str, name: HostMatch<'_>, is_sni: bool) -> String {
    let bare = |name: &'_ str| match name.strip_suffix('.') {
        Some(bare) if is_sni => bare.to_owned(),
        _ => name.to_owned(),
    };
    match name {
        HostMatch::Exact(name) => format!(r#"{field} == "{}""#, bare(name)),
        HostMatch::Suffix(end) => format!(r#"{field} =^ "{}""#, bare(end)),
        HostMatch::Prefix(start) => format!(r#"{field} ^= "{start}""#),
    }
}
